"""Whether the record is true: rows against bytes against files; and objects nothing refers to."""

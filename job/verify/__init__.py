"""Whether the record is true: rows against bytes against files; and the objects that nothing refers to."""

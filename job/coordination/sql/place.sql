-- Where our tables are, and who else may act there. The first statement runs under the session's
-- own search path, which may lead to what others made. So every type is spelled out here, as
-- everywhere, and every catalog is named.

-- name: look
-- The session's own path, whether the user set it, and each schema that holds tables of ours.
-- Tables may be ours if they belong to our own role, the database's owner, a superuser or, in the
-- schema `job`, the owner of that schema.
with me as (
    select r.oid, r.rolsuper, d.datdba,
           pg_catalog.quote_ident(pg_catalog.current_schema()::text) as first,
           pg_catalog.current_setting('search_path'::text) as path,
           (select source = 'client' from pg_catalog.pg_settings where name = 'search_path') as told
    from pg_catalog.pg_roles r, pg_catalog.pg_database d
    where r.rolname = current_user and d.datname = pg_catalog.current_database()
)
select me.first, me.path, me.told, found.*
from me left join lateral (
    select pg_catalog.quote_ident(n.nspname::text) as schema, n.nspname = 'job' as own,
           pg_catalog.pg_table_is_visible(c.oid) as visible,
           o.rolname::text as owner,
           pg_catalog.has_schema_privilege(n.oid, 'USAGE'::text) as usable,
           o.oid = me.datdba or o.rolsuper or (n.nspname = 'job' and o.oid = n.nspowner)
           or case when me.rolsuper then o.oid = me.oid
               else pg_catalog.pg_has_role(o.oid, 'USAGE'::text) end as trusted
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_roles o on o.oid = c.relowner
    where c.relname = 'job_schema' and c.relkind in ('r', 'p')
) as found on true

-- name: rights
-- The schema that tables are made in: its owner, our rights, and who else may create in it.
select current_user::text as me, pg_catalog.current_database()::text as database,
       n.oid is not null as there,
       pg_catalog.has_database_privilege(d.oid, 'CREATE'::text) as may_make,
       o.rolname::text as owner,
       pg_catalog.has_schema_privilege(n.oid, 'CREATE'::text) as may_create,
       o.oid = d.datdba or o.rolsuper or case when r.rolsuper then o.oid = r.oid
           else pg_catalog.pg_has_role(o.oid, 'USAGE'::text) end as trusted,
       array(
           select distinct coalesce(g.rolname::text, 'public')
           from pg_catalog.aclexplode(coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a
           left join pg_catalog.pg_roles g on g.oid = a.grantee
           where a.privilege_type = 'CREATE' and a.grantee <> n.nspowner and a.grantee <> r.oid
             and a.grantee <> d.datdba
             and g.rolname is distinct from 'pg_database_owner' and g.rolsuper is distinct from true
       ) as others
from pg_catalog.pg_database d
join pg_catalog.pg_roles r on r.rolname = current_user
left join pg_catalog.pg_namespace n on pg_catalog.quote_ident(n.nspname::text) = %(schema)s::text
left join pg_catalog.pg_roles o on o.oid = n.nspowner
where d.datname = pg_catalog.current_database()

-- name: owner
-- Whose our tables are, and whether we may change them.
select o.rolname::text as owner, pg_catalog.pg_has_role(o.oid, 'USAGE'::text) as ours
from pg_catalog.pg_class c join pg_catalog.pg_roles o on o.oid = c.relowner
where c.oid = pg_catalog.to_regclass('job_schema'::text)::oid

--
-- PostgreSQL database dump
--

\restrict half

-- Dumped from database version 18.4
-- Dumped by pg_dump version 18.4

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: job; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA job;


--
-- Name: studydirection; Type: TYPE; Schema: job; Owner: -
--

CREATE TYPE job.studydirection AS ENUM (
    'NOT_SET',
    'MINIMIZE',
    'MAXIMIZE'
);


--
-- Name: trialintermediatevaluetype; Type: TYPE; Schema: job; Owner: -
--

CREATE TYPE job.trialintermediatevaluetype AS ENUM (
    'FINITE',
    'INF_POS',
    'INF_NEG',
    'NAN'
);


--
-- Name: trialstate; Type: TYPE; Schema: job; Owner: -
--

CREATE TYPE job.trialstate AS ENUM (
    'RUNNING',
    'COMPLETE',
    'PRUNED',
    'FAIL',
    'WAITING'
);


--
-- Name: trialvaluetype; Type: TYPE; Schema: job; Owner: -
--

CREATE TYPE job.trialvaluetype AS ENUM (
    'FINITE',
    'INF_POS',
    'INF_NEG'
);


--
-- Name: optuna_follows_epoch(); Type: FUNCTION; Schema: job; Owner: -
--

CREATE FUNCTION job.optuna_follows_epoch() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'job', 'pg_temp'
    AS $$
begin
    insert into trial_intermediate_values (trial_id, step, intermediate_value, intermediate_value_type)
    select optuna_trial_id, new.epoch + 1, new.value, 'FINITE'
    from task
    where (experiment, model, stage, index) = (new.experiment, new.model, new.stage, new.index) and optuna_trial_id is not null
    on conflict (trial_id, step) do nothing;
    return null;
end $$;


--
-- Name: optuna_follows_task(); Type: FUNCTION; Schema: job; Owner: -
--

CREATE FUNCTION job.optuna_follows_task() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'job', 'pg_temp'
    AS $$
begin
    update trials set
        state = (case new.state when 'waiting' then (case when new.parameters is null then 'WAITING' else 'RUNNING' end)
                 when 'running' then 'RUNNING' when 'complete' then 'COMPLETE'
                 when 'pruned' then 'PRUNED' else 'FAIL' end)::trialstate,
        datetime_start = case when new.attempt > 0 then coalesce(datetime_start, localtimestamp) end,
        datetime_complete = case when new.state in ('complete', 'pruned', 'failed') then coalesce(datetime_complete, localtimestamp) end
    where trial_id = new.optuna_trial_id;
    if new.state in ('complete', 'pruned') and new.value is not null then
        insert into trial_values (trial_id, objective, value, value_type)
        values (new.optuna_trial_id, 0, new.value, 'FINITE')
        on conflict (trial_id, objective) do update set value = excluded.value;
    end if;
    if new.reason is not null then
        insert into trial_user_attributes (trial_id, key, value_json)
        values (new.optuna_trial_id, 'reason', pg_catalog.to_json(new.reason)::text)
        on conflict (trial_id, key) do update set value_json = excluded.value_json;
    end if;
    return null;
end $$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: alembic_version; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.alembic_version (
    version_num character varying(32) NOT NULL
);


--
-- Name: attempt; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.attempt (
    experiment text NOT NULL,
    model text NOT NULL,
    stage text NOT NULL,
    index integer NOT NULL,
    number integer NOT NULL,
    owner text NOT NULL,
    host text NOT NULL,
    machine jsonb,
    scheduler text,
    started timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    last_beat timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    ended timestamp with time zone,
    outcome text,
    reason text,
    first_step integer,
    last_step integer,
    seconds jsonb,
    CONSTRAINT attempt_outcome_check CHECK ((outcome = ANY (ARRAY['complete'::text, 'pruned'::text, 'interrupted'::text, 'error'::text, 'vanished'::text])))
);


--
-- Name: epoch; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.epoch (
    experiment text NOT NULL,
    model text NOT NULL,
    stage text NOT NULL,
    index integer NOT NULL,
    epoch integer NOT NULL,
    attempt integer NOT NULL,
    metrics jsonb NOT NULL,
    value double precision,
    pruned boolean DEFAULT false NOT NULL,
    bracket integer
);


--
-- Name: experiment; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.experiment (
    id text NOT NULL,
    name text NOT NULL,
    spec jsonb NOT NULL,
    fingerprint text NOT NULL,
    data jsonb NOT NULL,
    weights jsonb NOT NULL,
    splits jsonb NOT NULL,
    created timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: job_schema; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.job_schema (
    version integer NOT NULL
);


--
-- Name: opening; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.opening (
    experiment text NOT NULL,
    model text NOT NULL,
    stage text NOT NULL,
    index integer NOT NULL,
    attempt integer NOT NULL,
    opened timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: selection; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.selection (
    experiment text NOT NULL,
    model text NOT NULL,
    trial integer NOT NULL,
    value double precision NOT NULL,
    parameters jsonb NOT NULL,
    made timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);


--
-- Name: studies; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.studies (
    study_id integer NOT NULL,
    study_name character varying(512) NOT NULL
);


--
-- Name: studies_study_id_seq; Type: SEQUENCE; Schema: job; Owner: -
--

CREATE SEQUENCE job.studies_study_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: studies_study_id_seq; Type: SEQUENCE OWNED BY; Schema: job; Owner: -
--

ALTER SEQUENCE job.studies_study_id_seq OWNED BY job.studies.study_id;


--
-- Name: study_directions; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.study_directions (
    study_direction_id integer NOT NULL,
    direction job.studydirection NOT NULL,
    study_id integer NOT NULL,
    objective integer NOT NULL
);


--
-- Name: study_directions_study_direction_id_seq; Type: SEQUENCE; Schema: job; Owner: -
--

CREATE SEQUENCE job.study_directions_study_direction_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: study_directions_study_direction_id_seq; Type: SEQUENCE OWNED BY; Schema: job; Owner: -
--

ALTER SEQUENCE job.study_directions_study_direction_id_seq OWNED BY job.study_directions.study_direction_id;


--
-- Name: study_system_attributes; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.study_system_attributes (
    study_system_attribute_id integer NOT NULL,
    study_id integer,
    key character varying(512),
    value_json text
);


--
-- Name: study_system_attributes_study_system_attribute_id_seq; Type: SEQUENCE; Schema: job; Owner: -
--

CREATE SEQUENCE job.study_system_attributes_study_system_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: study_system_attributes_study_system_attribute_id_seq; Type: SEQUENCE OWNED BY; Schema: job; Owner: -
--

ALTER SEQUENCE job.study_system_attributes_study_system_attribute_id_seq OWNED BY job.study_system_attributes.study_system_attribute_id;


--
-- Name: study_user_attributes; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.study_user_attributes (
    study_user_attribute_id integer NOT NULL,
    study_id integer,
    key character varying(512),
    value_json text
);


--
-- Name: study_user_attributes_study_user_attribute_id_seq; Type: SEQUENCE; Schema: job; Owner: -
--

CREATE SEQUENCE job.study_user_attributes_study_user_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: study_user_attributes_study_user_attribute_id_seq; Type: SEQUENCE OWNED BY; Schema: job; Owner: -
--

ALTER SEQUENCE job.study_user_attributes_study_user_attribute_id_seq OWNED BY job.study_user_attributes.study_user_attribute_id;


--
-- Name: task; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.task (
    experiment text NOT NULL,
    model text NOT NULL,
    stage text NOT NULL,
    index integer NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    attempt integer DEFAULT 0 NOT NULL,
    owner text,
    lease_until timestamp with time zone,
    progress integer DEFAULT 0 NOT NULL,
    counted integer DEFAULT 0 NOT NULL,
    counted_at integer DEFAULT 0 NOT NULL,
    parameters jsonb,
    value double precision,
    metrics jsonb,
    artifact jsonb,
    reason text,
    optuna_trial_id integer,
    finished timestamp with time zone,
    CONSTRAINT task_index_check CHECK ((index >= 0)),
    CONSTRAINT task_stage_check CHECK ((stage = ANY (ARRAY['features'::text, 'trial'::text, 'fold'::text, 'final'::text]))),
    CONSTRAINT task_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'running'::text, 'complete'::text, 'pruned'::text, 'failed'::text])))
);


--
-- Name: trial_heartbeats; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.trial_heartbeats (
    trial_heartbeat_id integer NOT NULL,
    trial_id integer NOT NULL,
    heartbeat timestamp without time zone NOT NULL
);


--
-- Name: trial_heartbeats_trial_heartbeat_id_seq; Type: SEQUENCE; Schema: job; Owner: -
--

CREATE SEQUENCE job.trial_heartbeats_trial_heartbeat_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trial_heartbeats_trial_heartbeat_id_seq; Type: SEQUENCE OWNED BY; Schema: job; Owner: -
--

ALTER SEQUENCE job.trial_heartbeats_trial_heartbeat_id_seq OWNED BY job.trial_heartbeats.trial_heartbeat_id;


--
-- Name: trial_intermediate_values; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.trial_intermediate_values (
    trial_intermediate_value_id integer NOT NULL,
    trial_id integer NOT NULL,
    step integer NOT NULL,
    intermediate_value double precision,
    intermediate_value_type job.trialintermediatevaluetype NOT NULL
);


--
-- Name: trial_intermediate_values_trial_intermediate_value_id_seq; Type: SEQUENCE; Schema: job; Owner: -
--

CREATE SEQUENCE job.trial_intermediate_values_trial_intermediate_value_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trial_intermediate_values_trial_intermediate_value_id_seq; Type: SEQUENCE OWNED BY; Schema: job; Owner: -
--

ALTER SEQUENCE job.trial_intermediate_values_trial_intermediate_value_id_seq OWNED BY job.trial_intermediate_values.trial_intermediate_value_id;


--
-- Name: trial_params; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.trial_params (
    param_id integer NOT NULL,
    trial_id integer,
    param_name character varying(512),
    param_value double precision,
    distribution_json text
);


--
-- Name: trial_params_param_id_seq; Type: SEQUENCE; Schema: job; Owner: -
--

CREATE SEQUENCE job.trial_params_param_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trial_params_param_id_seq; Type: SEQUENCE OWNED BY; Schema: job; Owner: -
--

ALTER SEQUENCE job.trial_params_param_id_seq OWNED BY job.trial_params.param_id;


--
-- Name: trial_system_attributes; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.trial_system_attributes (
    trial_system_attribute_id integer NOT NULL,
    trial_id integer,
    key character varying(512),
    value_json text
);


--
-- Name: trial_system_attributes_trial_system_attribute_id_seq; Type: SEQUENCE; Schema: job; Owner: -
--

CREATE SEQUENCE job.trial_system_attributes_trial_system_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trial_system_attributes_trial_system_attribute_id_seq; Type: SEQUENCE OWNED BY; Schema: job; Owner: -
--

ALTER SEQUENCE job.trial_system_attributes_trial_system_attribute_id_seq OWNED BY job.trial_system_attributes.trial_system_attribute_id;


--
-- Name: trial_user_attributes; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.trial_user_attributes (
    trial_user_attribute_id integer NOT NULL,
    trial_id integer,
    key character varying(512),
    value_json text
);


--
-- Name: trial_user_attributes_trial_user_attribute_id_seq; Type: SEQUENCE; Schema: job; Owner: -
--

CREATE SEQUENCE job.trial_user_attributes_trial_user_attribute_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trial_user_attributes_trial_user_attribute_id_seq; Type: SEQUENCE OWNED BY; Schema: job; Owner: -
--

ALTER SEQUENCE job.trial_user_attributes_trial_user_attribute_id_seq OWNED BY job.trial_user_attributes.trial_user_attribute_id;


--
-- Name: trial_values; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.trial_values (
    trial_value_id integer NOT NULL,
    trial_id integer NOT NULL,
    objective integer NOT NULL,
    value double precision,
    value_type job.trialvaluetype NOT NULL
);


--
-- Name: trial_values_trial_value_id_seq; Type: SEQUENCE; Schema: job; Owner: -
--

CREATE SEQUENCE job.trial_values_trial_value_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trial_values_trial_value_id_seq; Type: SEQUENCE OWNED BY; Schema: job; Owner: -
--

ALTER SEQUENCE job.trial_values_trial_value_id_seq OWNED BY job.trial_values.trial_value_id;


--
-- Name: trials; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.trials (
    trial_id integer NOT NULL,
    number integer,
    study_id integer,
    state job.trialstate NOT NULL,
    datetime_start timestamp without time zone,
    datetime_complete timestamp without time zone
);


--
-- Name: trials_trial_id_seq; Type: SEQUENCE; Schema: job; Owner: -
--

CREATE SEQUENCE job.trials_trial_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: trials_trial_id_seq; Type: SEQUENCE OWNED BY; Schema: job; Owner: -
--

ALTER SEQUENCE job.trials_trial_id_seq OWNED BY job.trials.trial_id;


--
-- Name: version_info; Type: TABLE; Schema: job; Owner: -
--

CREATE TABLE job.version_info (
    version_info_id integer NOT NULL,
    schema_version integer,
    library_version character varying(256),
    CONSTRAINT version_info_version_info_id_check CHECK ((version_info_id = 1))
);


--
-- Name: studies study_id; Type: DEFAULT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.studies ALTER COLUMN study_id SET DEFAULT nextval('job.studies_study_id_seq'::regclass);


--
-- Name: study_directions study_direction_id; Type: DEFAULT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.study_directions ALTER COLUMN study_direction_id SET DEFAULT nextval('job.study_directions_study_direction_id_seq'::regclass);


--
-- Name: study_system_attributes study_system_attribute_id; Type: DEFAULT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.study_system_attributes ALTER COLUMN study_system_attribute_id SET DEFAULT nextval('job.study_system_attributes_study_system_attribute_id_seq'::regclass);


--
-- Name: study_user_attributes study_user_attribute_id; Type: DEFAULT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.study_user_attributes ALTER COLUMN study_user_attribute_id SET DEFAULT nextval('job.study_user_attributes_study_user_attribute_id_seq'::regclass);


--
-- Name: trial_heartbeats trial_heartbeat_id; Type: DEFAULT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_heartbeats ALTER COLUMN trial_heartbeat_id SET DEFAULT nextval('job.trial_heartbeats_trial_heartbeat_id_seq'::regclass);


--
-- Name: trial_intermediate_values trial_intermediate_value_id; Type: DEFAULT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_intermediate_values ALTER COLUMN trial_intermediate_value_id SET DEFAULT nextval('job.trial_intermediate_values_trial_intermediate_value_id_seq'::regclass);


--
-- Name: trial_params param_id; Type: DEFAULT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_params ALTER COLUMN param_id SET DEFAULT nextval('job.trial_params_param_id_seq'::regclass);


--
-- Name: trial_system_attributes trial_system_attribute_id; Type: DEFAULT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_system_attributes ALTER COLUMN trial_system_attribute_id SET DEFAULT nextval('job.trial_system_attributes_trial_system_attribute_id_seq'::regclass);


--
-- Name: trial_user_attributes trial_user_attribute_id; Type: DEFAULT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_user_attributes ALTER COLUMN trial_user_attribute_id SET DEFAULT nextval('job.trial_user_attributes_trial_user_attribute_id_seq'::regclass);


--
-- Name: trial_values trial_value_id; Type: DEFAULT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_values ALTER COLUMN trial_value_id SET DEFAULT nextval('job.trial_values_trial_value_id_seq'::regclass);


--
-- Name: trials trial_id; Type: DEFAULT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trials ALTER COLUMN trial_id SET DEFAULT nextval('job.trials_trial_id_seq'::regclass);


--
-- Data for Name: alembic_version; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.alembic_version VALUES ('v3.2.0.a');


--
-- Data for Name: attempt; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.attempt VALUES ('half-0f8267b5', 'cnn', 'trial', 4, 1, '979556b682e34fb9b94b7b69477763d8', 'old-host', NULL, NULL, '2026-11-29 18:53:01.826509+00', '2026-11-29 18:53:01.86627+00', '2026-11-29 18:53:01.872016+00', 'error', 'an error of the test', 0, 0, '{}');
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'net', 'final', 0, 1, '436c8b3231f048a788ef4265aeee2739', 'old-host', '{"cpu": "AMD EPYC", "device": "cpu", "tensorflow": "2.21.0"}', NULL, '2026-11-29 18:52:43.94826+00', '2026-11-29 18:52:45.643429+00', '2026-11-29 18:52:45.643429+00', 'complete', NULL, 0, 26, '{"build": 0.156, "stage": 0.002, "train": 1.011, "import": 0.0, "upload": 0.034, "evaluate": 0.181}');
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'net', 'trial', 0, 1, '98130399ae614d35b8ecf7ed90eb9dc4', 'old-host', '{"cpu": "AMD EPYC", "device": "cpu", "tensorflow": "2.21.0"}', NULL, '2026-11-29 18:52:36.275072+00', '2026-11-29 18:52:36.982495+00', '2026-11-29 18:52:36.982495+00', 'complete', NULL, 0, 20, '{"build": 0.178, "stage": 0.017, "train": 0.396, "import": 0.0, "upload": 0.009, "evaluate": 0.048}');
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'net', 'trial', 1, 1, 'bb810c19e6594114abbd14df3ac02e6e', 'old-host', '{"cpu": "AMD EPYC", "device": "cpu", "tensorflow": "2.21.0"}', NULL, '2026-11-29 18:52:37.132018+00', '2026-11-29 18:52:37.810457+00', '2026-11-29 18:52:37.810457+00', 'complete', NULL, 0, 20, '{"build": 0.104, "stage": 0.008, "train": 0.38, "import": 0.0, "upload": 0.058, "evaluate": 0.049}');
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'cnn', 'trial', 4, 2, 'b538582d7cf14c6690f1dd0ea99cdd18', 'old-host', NULL, NULL, '2026-11-29 18:53:01.889918+00', '2026-11-29 18:53:01.926374+00', '2026-11-29 18:53:01.930263+00', 'error', 'an error of the test', 0, 0, '{}');
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'net', 'trial', 2, 1, 'bdbcce4a254e453a850fff800966d862', 'old-host', '{"cpu": "AMD EPYC", "device": "cpu", "tensorflow": "2.21.0"}', NULL, '2026-11-29 18:52:37.970273+00', '2026-11-29 18:52:39.064578+00', '2026-11-29 18:52:39.064578+00', 'complete', NULL, 0, 20, '{"build": 0.237, "stage": 0.008, "train": 0.633, "import": 0.0, "upload": 0.071, "evaluate": 0.058}');
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'cnn', 'trial', 4, 3, '7e94566a61ec4df88715dcc5fb75e175', 'old-host', NULL, NULL, '2026-11-29 18:53:01.956743+00', '2026-11-29 18:53:01.977749+00', '2026-11-29 18:53:01.980127+00', 'error', 'an error of the test', 0, 0, '{}');
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'cnn', 'trial', 2, 1, '464e8b969dc34fdb86ebc781abbc7498', 'old-host', '{"cpu": "AMD EPYC", "device": "cpu", "tensorflow": "2.21.0"}', NULL, '2026-11-29 18:52:55.178314+00', '2026-11-29 18:52:58.5584+00', '2026-11-29 18:52:58.5584+00', 'interrupted', 'SIGTERM: interrupted; run me again', 0, 97, '{"build": 0.306, "stage": 0.012, "train": 2.836, "import": 0.0}');
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'net', 'trial', 3, 1, '161c6b87baa84cc38a0a14431b713928', 'old-host', '{"cpu": "AMD EPYC", "device": "cpu", "tensorflow": "2.21.0"}', NULL, '2026-11-29 18:52:39.21209+00', '2026-11-29 18:52:40.2234+00', '2026-11-29 18:52:40.2234+00', 'complete', NULL, 0, 20, '{"build": 0.155, "stage": 0.011, "train": 0.589, "import": 0.0, "upload": 0.03, "evaluate": 0.097}');
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'cnn', 'trial', 3, 1, '03c9058be70d46c7901990bd336db993', 'old-host', '{"cpu": "AMD EPYC", "device": "cpu", "tensorflow": "2.21.0"}', NULL, '2026-11-29 18:52:58.708496+00', '2026-11-29 18:53:01.663549+00', NULL, NULL, NULL, 0, 68, NULL);
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'net', 'trial', 4, 1, '277b5172bb314aeb937e3b6952468dab', 'old-host', '{"cpu": "AMD EPYC", "device": "cpu", "tensorflow": "2.21.0"}', NULL, '2026-11-29 18:52:40.422767+00', '2026-11-29 18:52:41.394827+00', '2026-11-29 18:52:41.394827+00', 'complete', NULL, 0, 20, '{"build": 0.271, "stage": 0.004, "train": 0.528, "import": 0.0, "upload": 0.009, "evaluate": 0.031}');
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 1, '3e5b8b9019924452a328c2afbea4b815', 'old-host', '{"cpu": "AMD EPYC", "device": "cpu", "tensorflow": "2.21.0"}', NULL, '2026-11-29 18:52:50.560394+00', '2026-11-29 18:52:54.967287+00', '2026-11-29 18:52:54.967287+00', 'complete', NULL, 0, 200, '{"build": 0.211, "stage": 0.004, "train": 3.752, "import": 0.0, "upload": 0.067, "evaluate": 0.276}');
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'net', 'fold', 0, 1, 'dacaa58c22384aaea9e2c83bb2e1f184', 'old-host', '{"cpu": "AMD EPYC", "device": "cpu", "tensorflow": "2.21.0"}', NULL, '2026-11-29 18:52:41.749138+00', '2026-11-29 18:52:43.799703+00', '2026-11-29 18:52:43.799704+00', 'complete', NULL, 0, 14, '{"build": 0.249, "stage": 0.004, "train": 0.758, "import": 0.0, "upload": 0.024, "evaluate": 0.724}');
INSERT INTO job.attempt VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 1, '54ed469074d04496b3d255991aa0b3f6', 'old-host', '{"cpu": "AMD EPYC", "device": "cpu", "tensorflow": "2.21.0"}', NULL, '2026-11-29 18:52:45.906096+00', '2026-11-29 18:52:50.407343+00', '2026-11-29 18:52:50.407343+00', 'complete', NULL, 0, 200, '{"build": 0.213, "stage": 0.008, "train": 3.682, "import": 0.0, "upload": 0.061, "evaluate": 0.401}');


--
-- Data for Name: epoch; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'trial', 0, 0, 1, '{"loss": 2.199208450317383, "accuracy": 0.08125, "val_loss": 2.115530055380826, "val_accuracy": 0.2, "learning_rate": 0.0023220088332891464}', 0.2, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'trial', 0, 1, 1, '{"loss": 2.100503921508789, "accuracy": 0.2, "val_loss": 2.0959022104486875, "val_accuracy": 0.2, "learning_rate": 0.0}', 0.2, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'trial', 1, 0, 1, '{"loss": 2.3338596343994142, "accuracy": 0.0875, "val_loss": 2.302247884487728, "val_accuracy": 0.1, "learning_rate": 0.0011356702307239175}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'trial', 1, 1, 1, '{"loss": 2.2975322723388674, "accuracy": 0.0875, "val_loss": 2.300928375370984, "val_accuracy": 0.1, "learning_rate": 0.0}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'trial', 2, 0, 1, '{"loss": 2.4912704467773437, "accuracy": 0.08125, "val_loss": 2.3026097401485295, "val_accuracy": 0.1, "learning_rate": 0.0017228750512003899}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'trial', 2, 1, 1, '{"loss": 2.3026174545288085, "accuracy": 0.10625, "val_loss": 2.3026155750951545, "val_accuracy": 0.1, "learning_rate": 0.0}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'trial', 3, 0, 1, '{"loss": 2.4349544525146483, "accuracy": 0.1375, "val_loss": 2.140880254672732, "val_accuracy": 0.15, "learning_rate": 0.002367419423535466}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'trial', 3, 1, 1, '{"loss": 2.1247268676757813, "accuracy": 0.18125, "val_loss": 2.1333450687936195, "val_accuracy": 0.175, "learning_rate": 0.0}', 0.175, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'trial', 4, 0, 1, '{"loss": 2.312874984741211, "accuracy": 0.0625, "val_loss": 2.3025935957014916, "val_accuracy": 0.1, "learning_rate": 0.0007012146525084972}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'trial', 4, 1, 1, '{"loss": 2.302621078491211, "accuracy": 0.1, "val_loss": 2.3025919683029494, "val_accuracy": 0.1, "learning_rate": 0.0}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'fold', 0, 0, 1, '{"loss": 2.4101852416992187, "accuracy": 0.03, "val_loss": 2.302858232287641, "val_accuracy": 0.09, "learning_rate": 0.0023220088332891464}', 0.09, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'fold', 0, 1, 1, '{"loss": 2.302716827392578, "accuracy": 0.1, "val_loss": 2.3028751228011846, "val_accuracy": 0.09, "learning_rate": 0.0}', 0.09, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'final', 0, 0, 1, '{"loss": 2.299275665283203, "accuracy": 0.13, "learning_rate": 0.0023220088332891464}', NULL, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'net', 'final', 0, 1, 1, '{"loss": 2.150778503417969, "accuracy": 0.16, "learning_rate": 0.0}', NULL, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 0, 1, '{"loss": 2.3150392532348634, "accuracy": 0.1, "val_loss": 2.3045663753662575, "val_accuracy": 0.1, "learning_rate": 0.0022604039404541254}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 1, 1, '{"loss": 2.302610969543457, "accuracy": 0.10625, "val_loss": 2.3037630253046215, "val_accuracy": 0.1, "learning_rate": 0.0022187461145222187}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 2, 1, '{"loss": 2.2955337524414063, "accuracy": 0.10625, "val_loss": 2.302021519980817, "val_accuracy": 0.125, "learning_rate": 0.0021504571195691824}', 0.125, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 3, 1, '{"loss": 2.294459915161133, "accuracy": 0.09375, "val_loss": 2.2996792754648028, "val_accuracy": 0.175, "learning_rate": 0.0020572184585034847}', 0.175, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 4, 1, '{"loss": 2.2901330947875977, "accuracy": 0.11875, "val_loss": 2.29799132066344, "val_accuracy": 0.15, "learning_rate": 0.0019413259578868747}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 5, 1, '{"loss": 2.2839849472045897, "accuracy": 0.15, "val_loss": 2.295499094404301, "val_accuracy": 0.15, "learning_rate": 0.001805633190087974}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 6, 1, '{"loss": 2.292378807067871, "accuracy": 0.1125, "val_loss": 2.2933221878523136, "val_accuracy": 0.175, "learning_rate": 0.0016534813912585378}', 0.175, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 7, 1, '{"loss": 2.2837425231933595, "accuracy": 0.125, "val_loss": 2.291700428801922, "val_accuracy": 0.15, "learning_rate": 0.001488617155700922}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 8, 1, '{"loss": 2.279829978942871, "accuracy": 0.11875, "val_loss": 2.2901627956347665, "val_accuracy": 0.15, "learning_rate": 0.0013151001185178757}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 9, 1, '{"loss": 2.2861385345458984, "accuracy": 0.125, "val_loss": 2.289264047333086, "val_accuracy": 0.15, "learning_rate": 0.00113720225635916}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 10, 1, '{"loss": 2.276927947998047, "accuracy": 0.13125, "val_loss": 2.2882708905845606, "val_accuracy": 0.175, "learning_rate": 0.0009593046270310879}', 0.175, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 11, 1, '{"loss": 2.281108283996582, "accuracy": 0.14375, "val_loss": 2.2870032498253976, "val_accuracy": 0.15, "learning_rate": 0.000785787298809737}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 12, 1, '{"loss": 2.281504249572754, "accuracy": 0.125, "val_loss": 2.286717569126914, "val_accuracy": 0.15, "learning_rate": 0.0006209234124980867}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 13, 1, '{"loss": 2.2763177871704103, "accuracy": 0.11875, "val_loss": 2.286448472075167, "val_accuracy": 0.15, "learning_rate": 0.0004687716718763113}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 14, 1, '{"loss": 2.2708091735839844, "accuracy": 0.18125, "val_loss": 2.2859771509346154, "val_accuracy": 0.15, "learning_rate": 0.00033307887497358024}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 15, 1, '{"loss": 2.2683029174804688, "accuracy": 0.15, "val_loss": 2.28601228987043, "val_accuracy": 0.15, "learning_rate": 0.00021718624338973314}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 16, 1, '{"loss": 2.2776330947875976, "accuracy": 0.15625, "val_loss": 2.2859616575430692, "val_accuracy": 0.125, "learning_rate": 0.00012394756777212024}', 0.125, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 17, 1, '{"loss": 2.2737770080566406, "accuracy": 0.14375, "val_loss": 2.285660159739666, "val_accuracy": 0.15, "learning_rate": 0.00005565868559642695}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 18, 1, '{"loss": 2.2714603424072264, "accuracy": 0.16875, "val_loss": 2.2855884287485537, "val_accuracy": 0.15, "learning_rate": 0.000014000823284732178}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 19, 1, '{"loss": 2.275774383544922, "accuracy": 0.1375, "val_loss": 2.285566994361389, "val_accuracy": 0.15, "learning_rate": 0.0}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 0, 1, '{"loss": 2.3429359436035155, "accuracy": 0.10625, "val_loss": 2.302883736764052, "val_accuracy": 0.1, "learning_rate": 0.0034539124462753534}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 1, 1, '{"loss": 2.325791931152344, "accuracy": 0.08125, "val_loss": 2.303613441410385, "val_accuracy": 0.1, "learning_rate": 0.0033902591094374657}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 2, 1, '{"loss": 2.3128992080688477, "accuracy": 0.1375, "val_loss": 2.3039752310173958, "val_accuracy": 0.125, "learning_rate": 0.0032859130296856165}', 0.125, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 3, 1, '{"loss": 2.3032224655151365, "accuracy": 0.1, "val_loss": 2.3013667832085085, "val_accuracy": 0.1, "learning_rate": 0.0031434434931725264}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 4, 1, '{"loss": 2.302873992919922, "accuracy": 0.0875, "val_loss": 2.299189415267109, "val_accuracy": 0.175, "learning_rate": 0.002966359257698059}', 0.175, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 5, 1, '{"loss": 2.3014110565185546, "accuracy": 0.09375, "val_loss": 2.294258664226342, "val_accuracy": 0.1, "learning_rate": 0.002759019611403346}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 6, 1, '{"loss": 2.295809745788574, "accuracy": 0.1375, "val_loss": 2.2969088319801876, "val_accuracy": 0.125, "learning_rate": 0.0025265307631343603}', 0.125, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 7, 1, '{"loss": 2.290419578552246, "accuracy": 0.1375, "val_loss": 2.291010292648182, "val_accuracy": 0.1, "learning_rate": 0.002274617087095976}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 8, 1, '{"loss": 2.2936931610107423, "accuracy": 0.1125, "val_loss": 2.285853890986571, "val_accuracy": 0.1, "learning_rate": 0.002009481890127063}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 9, 1, '{"loss": 2.2940818786621096, "accuracy": 0.1, "val_loss": 2.2847949618201624, "val_accuracy": 0.125, "learning_rate": 0.001737652812153101}', 0.125, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 10, 1, '{"loss": 2.2815723419189453, "accuracy": 0.0875, "val_loss": 2.2858313077737966, "val_accuracy": 0.175, "learning_rate": 0.0014658239670097828}', 0.175, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 11, 1, '{"loss": 2.2946659088134767, "accuracy": 0.0875, "val_loss": 2.2826989832415734, "val_accuracy": 0.15, "learning_rate": 0.0012006883043795824}', 0.15, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 12, 1, '{"loss": 2.2874629974365233, "accuracy": 0.11875, "val_loss": 2.2809508342528972, "val_accuracy": 0.125, "learning_rate": 0.0009487751522101462}', 0.125, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 13, 1, '{"loss": 2.285904121398926, "accuracy": 0.0875, "val_loss": 2.2795580449314214, "val_accuracy": 0.175, "learning_rate": 0.0007162863039411604}', 0.175, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 14, 1, '{"loss": 2.282851791381836, "accuracy": 0.125, "val_loss": 2.2789070933870965, "val_accuracy": 0.2, "learning_rate": 0.0005089467740617692}', 0.2, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 15, 1, '{"loss": 2.275971031188965, "accuracy": 0.13125, "val_loss": 2.2784544546668224, "val_accuracy": 0.2, "learning_rate": 0.00033186207292601466}', 0.2, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 16, 1, '{"loss": 2.285197067260742, "accuracy": 0.10625, "val_loss": 2.2781654176936628, "val_accuracy": 0.2, "learning_rate": 0.0001893927255878225}', 0.2, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 17, 1, '{"loss": 2.2927019119262697, "accuracy": 0.0875, "val_loss": 2.27776491577095, "val_accuracy": 0.225, "learning_rate": 0.00008504684956278652}', 0.225, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 18, 1, '{"loss": 2.284256362915039, "accuracy": 0.10625, "val_loss": 2.277585790583172, "val_accuracy": 0.2, "learning_rate": 0.000021393352653831244}', 0.2, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 19, 1, '{"loss": 2.2833297729492186, "accuracy": 0.08125, "val_loss": 2.2774423751583965, "val_accuracy": 0.225, "learning_rate": 0.0}', 0.225, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 2, 0, 1, '{"loss": 2.326349067687988, "accuracy": 0.1, "val_loss": 2.302477259449049, "val_accuracy": 0.125, "learning_rate": 0.0046595195308327675}', 0.125, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 2, 1, 1, '{"loss": 2.294530487060547, "accuracy": 0.14375, "val_loss": 2.3017048618887075, "val_accuracy": 0.075, "learning_rate": 0.004573647398501635}', 0.075, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 2, 2, 1, '{"loss": 2.298689079284668, "accuracy": 0.1, "val_loss": 2.2983056122973666, "val_accuracy": 0.05, "learning_rate": 0.00443287892267108}', 0.05, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 2, 3, 1, '{"loss": 2.2841541290283205, "accuracy": 0.09375, "val_loss": 2.2946924906036847, "val_accuracy": 0.1, "learning_rate": 0.004240679554641247}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 2, 4, 1, '{"loss": 2.2785919189453123, "accuracy": 0.10625, "val_loss": 2.2876508335031134, "val_accuracy": 0.1, "learning_rate": 0.0040017832070589066}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 2, 5, 1, '{"loss": 2.273060607910156, "accuracy": 0.1375, "val_loss": 2.2894436578094988, "val_accuracy": 0.1, "learning_rate": 0.0037220704834908247}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 2, 6, 1, '{"loss": 2.273854637145996, "accuracy": 0.0875, "val_loss": 2.2763576926616933, "val_accuracy": 0.1, "learning_rate": 0.0034084301441907883}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 2, 7, 1, '{"loss": 2.262221908569336, "accuracy": 0.1, "val_loss": 2.274679646337654, "val_accuracy": 0.1, "learning_rate": 0.003068584715947509}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 2, 8, 1, '{"loss": 2.257948112487793, "accuracy": 0.14375, "val_loss": 2.2723915499009526, "val_accuracy": 0.1, "learning_rate": 0.00271090236492455}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 3, 0, 1, '{"loss": 2.3261280059814453, "accuracy": 0.10625, "val_loss": 2.3031768505719357, "val_accuracy": 0.1, "learning_rate": 0.0012796801747754216}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 3, 1, 1, '{"loss": 2.325695610046387, "accuracy": 0.08125, "val_loss": 2.302913116155737, "val_accuracy": 0.1, "learning_rate": 0.0012560964096337557}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 3, 2, 1, '{"loss": 2.3237329483032227, "accuracy": 0.1125, "val_loss": 2.2973575039211953, "val_accuracy": 0.1, "learning_rate": 0.001217436045408249}', 0.1, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 3, 3, 1, '{"loss": 2.3038402557373048, "accuracy": 0.15625, "val_loss": 2.2958122532028993, "val_accuracy": 0.075, "learning_rate": 0.0011646508937701583}', 0.075, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 3, 4, 1, '{"loss": 2.3121070861816406, "accuracy": 0.1125, "val_loss": 2.295157399945709, "val_accuracy": 0.075, "learning_rate": 0.0010990408482030034}', 0.075, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 3, 5, 1, '{"loss": 2.310955619812012, "accuracy": 0.10625, "val_loss": 2.2928109429536554, "val_accuracy": 0.075, "learning_rate": 0.0010222212877124548}', 0.075, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 3, 6, 1, '{"loss": 2.305493927001953, "accuracy": 0.1125, "val_loss": 2.290138672261339, "val_accuracy": 0.075, "learning_rate": 0.0009360837284475565}', 0.075, false, NULL);
INSERT INTO job.epoch VALUES ('half-0f8267b5', 'cnn', 'trial', 3, 7, 1, '{"loss": 2.2996788024902344, "accuracy": 0.10625, "val_loss": 2.288173747897615, "val_accuracy": 0.075, "learning_rate": 0.0008427493157796562}', 0.075, false, NULL);


--
-- Data for Name: experiment; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.experiment VALUES ('half-0f8267b5', 'half', '{"data": {"test": 60, "train": 200, "source": "digits", "holdout": 0.2, "validation": 0.2}, "name": "half", "seed": 7, "final": {"seeds": 1}, "folds": {"count": 2}, "method": 2, "models": {"cnn": {"units": 8, "width": 4, "blocks": 1, "epochs": 20, "augment": {"flip": true, "zoom": 0.1, "shear": 0.1, "shift": 0.1, "rotation": 10.0}, "dropout": 0.3, "schedule": "cosine", "batch_size": 16, "weight_decay": 0.0, "learning_rate": {"log": true, "low": 0.001, "high": 0.01}, "label_smoothing": 0.0}, "net": {"width": 4, "epochs": 2, "source": "dca2798ca6d5a304", "augment": {}, "factory": "net:build", "schedule": "cosine", "batch_size": 16, "weight_decay": 0.0, "learning_rate": {"log": true, "low": 0.001, "high": 0.01}, "label_smoothing": 0.0}}, "search": {"metric": "accuracy", "pruner": "none", "trials": 5, "enqueue": [], "sampler": "random", "min_epochs": 1}, "threads": 1, "features": {"shards": 1}, "reference": []}', 'd4416945d71068ec3b239f3f0cd09367831dc36a3b12cfd3a0ea0a0c138cc2b6', '{"id": "87ef9f57908003fe", "test": 60, "files": {"test-copies.npy": {"size": 188, "sha256": "df7583946a806b3497636e8f294374e9721db8b50d7cd5a0a3ca1bbbd60d608d"}, "test-images.npy": {"size": 184448, "sha256": "8be18482baae3d78c52c1dc740a3606323ba9eff6d6d29ada05d7140487ae12a"}, "test-labels.npy": {"size": 608, "sha256": "a7a79c86ebafa61b72db2e555e39d1f48df7855e8db2b583fd94d03625908675"}, "train-groups.npy": {"size": 1728, "sha256": "44bd5860ca0bc168660dd0366df8942e4ea9b5ff5954c0bcd9648414181cc43a"}, "train-images.npy": {"size": 614528, "sha256": "f7712937fb5a3a6881b5d5179c5094ce943da43798575c90a6e58b9fa38a04b8"}, "train-labels.npy": {"size": 1728, "sha256": "f614be6dfaf41f525219c581a1394f0f49d62929248cfc1e6cc48d523f05a5ad"}}, "notes": [], "train": 200, "notice": null, "source": "digits", "stored": {"data/87ef9f57908003fe/samples.npz": {"etag": "18ec98cc739472f8", "size": 66048, "sha256": "d15284b37a583c6a3cde2c3b523e17c7bf0cd2a852bd30e6170b5c87252d67ab"}, "data/87ef9f57908003fe/manifest.json": {"etag": "18ec98cc74225878", "size": 1193, "sha256": "e40e813ddf52327c39086fd237c96257492944b7c4a5225912cdaaf79a9615ec"}, "data/87ef9f57908003fe/test-copies.npy": {"etag": "18ec98cc7318c6e3", "size": 188, "sha256": "df7583946a806b3497636e8f294374e9721db8b50d7cd5a0a3ca1bbbd60d608d"}, "data/87ef9f57908003fe/test-images.npy": {"etag": "18ec98cc7264a159", "size": 184448, "sha256": "8be18482baae3d78c52c1dc740a3606323ba9eff6d6d29ada05d7140487ae12a"}, "data/87ef9f57908003fe/test-labels.npy": {"etag": "18ec98cc72dcd33e", "size": 608, "sha256": "a7a79c86ebafa61b72db2e555e39d1f48df7855e8db2b583fd94d03625908675"}, "data/87ef9f57908003fe/train-groups.npy": {"etag": "18ec98cc71e84d2b", "size": 1728, "sha256": "44bd5860ca0bc168660dd0366df8942e4ea9b5ff5954c0bcd9648414181cc43a"}, "data/87ef9f57908003fe/train-images.npy": {"etag": "18ec98cc711b2e47", "size": 614528, "sha256": "f7712937fb5a3a6881b5d5179c5094ce943da43798575c90a6e58b9fa38a04b8"}, "data/87ef9f57908003fe/train-labels.npy": {"etag": "18ec98cc716e9765", "size": 1728, "sha256": "f614be6dfaf41f525219c581a1394f0f49d62929248cfc1e6cc48d523f05a5ad"}, "data/87ef9f57908003fe/splits-3119b1aa39465431.npz": {"etag": "18ec98cc7446471c", "size": 546, "sha256": "3119b1aa3946543150c89f6d431a744f47788b856873ec50c6a2d87562349f2d"}}, "classes": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], "duplicates": {"train": 0, "train_test": 0}, "validation": 40, "image_shape": [32, 32, 3], "test_counts": [6, 6, 6, 6, 6, 6, 6, 6, 6, 6], "train_counts": [20, 20, 20, 21, 20, 20, 20, 20, 19, 20]}', '{}', '{"key": "data/87ef9f57908003fe/splits-3119b1aa39465431.npz", "sha256": "3119b1aa3946543150c89f6d431a744f47788b856873ec50c6a2d87562349f2d"}', '2026-11-29 18:52:35.31966+00');


--
-- Data for Name: job_schema; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.job_schema VALUES (3);


--
-- Data for Name: opening; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.opening VALUES ('half-0f8267b5', 'net', 'final', 0, 1, '2026-11-29 18:52:45.22508+00');


--
-- Data for Name: selection; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.selection VALUES ('half-0f8267b5', 'net', 0, 0.2, '{"learning_rate": 0.004644018179570159}', '2026-11-29 18:52:41.744723+00');


--
-- Data for Name: studies; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.studies VALUES (1, 'half/cnn');
INSERT INTO job.studies VALUES (2, 'half/net');


--
-- Data for Name: study_directions; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.study_directions VALUES (1, 'MAXIMIZE', 1, 0);
INSERT INTO job.study_directions VALUES (2, 'MAXIMIZE', 2, 0);


--
-- Data for Name: study_system_attributes; Type: TABLE DATA; Schema: job; Owner: -
--



--
-- Data for Name: study_user_attributes; Type: TABLE DATA; Schema: job; Owner: -
--



--
-- Data for Name: task; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.task VALUES ('half-0f8267b5', 'cnn', 'fold', 0, 'waiting', 0, NULL, NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO job.task VALUES ('half-0f8267b5', 'cnn', 'fold', 1, 'waiting', 0, NULL, NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO job.task VALUES ('half-0f8267b5', 'net', 'fold', 1, 'waiting', 0, NULL, NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO job.task VALUES ('half-0f8267b5', 'cnn', 'final', 0, 'waiting', 0, NULL, NULL, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO job.task VALUES ('half-0f8267b5', 'net', 'trial', 3, 'complete', 1, NULL, NULL, 20, 0, 0, '{"learning_rate": 0.004734839364491901}', 0.175, '{"accuracy": 0.175, "log_loss": 2.1333450687936195}', '{"history.csv": {"key": "experiments/half-0f8267b5/net/trial/3/1-161c6b87/history.csv", "etag": "18ec98cd96ef9fb2", "size": 203, "sha256": "29135fdd0168b6159db90c49f17553523ddf14be1b840d13797122db804cdf68"}, "result.json": {"key": "experiments/half-0f8267b5/net/trial/3/1-161c6b87/result.json", "etag": "18ec98cd978302e4", "size": 2327, "sha256": "311442460037545514cacbbb43fa6e710f1d34dd0f21265da0b5b882bbf307d8"}, "predictions.npz": {"key": "experiments/half-0f8267b5/net/trial/3/1-161c6b87/predictions.npz", "etag": "18ec98cd964a8d97", "size": 2944, "sha256": "52e3b9f7bb068046d5b61b2d5c6d532d7d1e58bb4d0f87ac58ab5192f0212203"}}', NULL, 9, '2026-11-29 18:52:40.222433+00');
INSERT INTO job.task VALUES ('half-0f8267b5', 'net', 'fold', 0, 'complete', 1, NULL, NULL, 14, 0, 0, '{"learning_rate": 0.004644018179570159}', 0.09, '{"n": 100, "f1": 0.01651376146788991, "recall": 0.1, "roc_auc": 0.5, "accuracy": 0.09, "log_loss": 2.302875122801185, "weighted": {"f1": 0.014862385321100917, "recall": 0.09, "precision": 0.0081}, "intervals": {"f1": [0.01651376146788991, 0.01651376146788991], "recall": [0.1, 0.1], "roc_auc": [0.5, 0.5], "accuracy": [0.04807254000256515, 0.16226212852716312], "log_loss": [2.302875122801185, 2.3028751228011854], "precision": [0.009, 0.009], "balanced_accuracy": [0.1, 0.1]}, "per_class": [{"f1": 0.0, "class": "0", "recall": 0.0, "roc_auc": 0.5, "support": 10, "precision": 0.0}, {"f1": 0.0, "class": "1", "recall": 0.0, "roc_auc": 0.5, "support": 10, "precision": 0.0}, {"f1": 0.0, "class": "2", "recall": 0.0, "roc_auc": 0.5, "support": 10, "precision": 0.0}, {"f1": 0.0, "class": "3", "recall": 0.0, "roc_auc": 0.5, "support": 11, "precision": 0.0}, {"f1": 0.0, "class": "4", "recall": 0.0, "roc_auc": 0.5, "support": 10, "precision": 0.0}, {"f1": 0.0, "class": "5", "recall": 0.0, "roc_auc": 0.5, "support": 10, "precision": 0.0}, {"f1": 0.0, "class": "6", "recall": 0.0, "roc_auc": 0.5, "support": 10, "precision": 0.0}, {"f1": 0.0, "class": "7", "recall": 0.0, "roc_auc": 0.5, "support": 10, "precision": 0.0}, {"f1": 0.1651376146788991, "class": "8", "recall": 1.0, "roc_auc": 0.5, "support": 9, "precision": 0.09}, {"f1": 0.0, "class": "9", "recall": 0.0, "roc_auc": 0.5, "support": 10, "precision": 0.0}], "precision": 0.009, "roc_auc_reason": null, "confusion_matrix": [[0, 0, 0, 0, 0, 0, 0, 0, 10, 0], [0, 0, 0, 0, 0, 0, 0, 0, 10, 0], [0, 0, 0, 0, 0, 0, 0, 0, 10, 0], [0, 0, 0, 0, 0, 0, 0, 0, 11, 0], [0, 0, 0, 0, 0, 0, 0, 0, 10, 0], [0, 0, 0, 0, 0, 0, 0, 0, 10, 0], [0, 0, 0, 0, 0, 0, 0, 0, 10, 0], [0, 0, 0, 0, 0, 0, 0, 0, 10, 0], [0, 0, 0, 0, 0, 0, 0, 0, 9, 0], [0, 0, 0, 0, 0, 0, 0, 0, 10, 0]], "balanced_accuracy": 0.1, "undefined_precision": ["0", "1", "2", "3", "4", "5", "6", "7", "9"]}', '{"history.csv": {"key": "experiments/half-0f8267b5/net/fold/0/1-dacaa58c/history.csv", "etag": "18ec98ce6d48aeed", "size": 195, "sha256": "ec35e0609eda64a957ed24e4d432b97f60fd1a4b3a6e2acd9064421ef526a335"}, "model.keras": {"key": "experiments/half-0f8267b5/net/fold/0/1-dacaa58c/model.keras", "etag": "18ec98ce6c8d0231", "size": 68975, "sha256": "69cd7690943d4e13a0fa7ec964aed33ee685eebad120f869019fa627219fe4dd"}, "result.json": {"key": "experiments/half-0f8267b5/net/fold/0/1-dacaa58c/result.json", "etag": "18ec98ce6daa9645", "size": 5297, "sha256": "fe2e44e92b91dc5a5c4f4573fd06c8efc8737b6f0bb7aa1b28bc3274f48dc379"}, "predictions.npz": {"key": "experiments/half-0f8267b5/net/fold/0/1-dacaa58c/predictions.npz", "etag": "18ec98ce6c77d2ea", "size": 6304, "sha256": "d22ebaff20a4e48f2bfba658a5b0d7f4401b25d7be8c2174bf250b08fb2474b0"}}', NULL, NULL, '2026-11-29 18:52:43.799273+00');
INSERT INTO job.task VALUES ('half-0f8267b5', 'net', 'trial', 0, 'complete', 1, NULL, NULL, 20, 0, 0, '{"learning_rate": 0.004644018179570159}', 0.2, '{"accuracy": 0.2, "log_loss": 2.0959022104486875}', '{"history.csv": {"key": "experiments/half-0f8267b5/net/trial/0/1-98130399/history.csv", "etag": "18ec98ccd74ddb75", "size": 193, "sha256": "e3d0a1bcf10390311856c617b97634dd4233085d2f36ac809b87f95629aa94f3"}, "result.json": {"key": "experiments/half-0f8267b5/net/trial/0/1-98130399/result.json", "etag": "18ec98ccd77d3d8e", "size": 2325, "sha256": "497cd88b0bcd2b811661b8cc425a464ab553a5020d1b9b838a87aee02d0b5bc2"}, "predictions.npz": {"key": "experiments/half-0f8267b5/net/trial/0/1-98130399/predictions.npz", "etag": "18ec98ccd718d18c", "size": 2944, "sha256": "72d8b0d333276b086316a38a4ea5f8f40d1015c81aa4b124ee6bb014d75bbf0c"}}', NULL, 6, '2026-11-29 18:52:36.982209+00');
INSERT INTO job.task VALUES ('half-0f8267b5', 'net', 'trial', 1, 'complete', 1, NULL, NULL, 20, 0, 0, '{"learning_rate": 0.002271340781885985}', 0.1, '{"accuracy": 0.1, "log_loss": 2.300928375370984}', '{"history.csv": {"key": "experiments/half-0f8267b5/net/trial/1/1-bb810c19/history.csv", "etag": "18ec98cd0552a049", "size": 196, "sha256": "9eec294a76d4709755066d69fb6bc9db6eadeea0d4293224c9314c3db94ca906"}, "result.json": {"key": "experiments/half-0f8267b5/net/trial/1/1-bb810c19/result.json", "etag": "18ec98cd05830d12", "size": 2323, "sha256": "22a7234294d4327faf9e070a4a8a3fbb5f92defae835756e921f1ad00ef861a4"}, "predictions.npz": {"key": "experiments/half-0f8267b5/net/trial/1/1-bb810c19/predictions.npz", "etag": "18ec98cd053e49df", "size": 2944, "sha256": "3328138f84fbb290be25e891c4a942c0ebc3904c189c7a41bb1a8945b3bf0a74"}}', NULL, 7, '2026-11-29 18:52:37.810023+00');
INSERT INTO job.task VALUES ('half-0f8267b5', 'net', 'trial', 4, 'complete', 1, NULL, NULL, 20, 0, 0, '{"learning_rate": 0.0014024294629520152}', 0.1, '{"accuracy": 0.1, "log_loss": 2.3025919683029494}', '{"history.csv": {"key": "experiments/half-0f8267b5/net/trial/4/1-277b5172/history.csv", "etag": "18ec98cdde972e63", "size": 193, "sha256": "fad80bfb8c3558ffe8e07c21c22ecd2f6406e0145fba5e9bfcc3a1696544500f"}, "result.json": {"key": "experiments/half-0f8267b5/net/trial/4/1-277b5172/result.json", "etag": "18ec98cddec02c14", "size": 2326, "sha256": "a34f442a2bca8176de692cfc2df4adffa06cc16a759e0281f552907424380ec0"}, "predictions.npz": {"key": "experiments/half-0f8267b5/net/trial/4/1-277b5172/predictions.npz", "etag": "18ec98cdde3ccae0", "size": 2944, "sha256": "e1e09488e9972713011dd00298e22debec698b6bf138176c8e5c965e173f7979"}}', NULL, 10, '2026-11-29 18:52:41.394612+00');
INSERT INTO job.task VALUES ('half-0f8267b5', 'net', 'trial', 2, 'complete', 1, NULL, NULL, 20, 0, 0, '{"learning_rate": 0.0034457504174044444}', 0.1, '{"accuracy": 0.1, "log_loss": 2.3026155750951545}', '{"history.csv": {"key": "experiments/half-0f8267b5/net/trial/2/1-bdbcce4a/history.csv", "etag": "18ec98cd4f74dd84", "size": 200, "sha256": "9df214d31b009b867fdd9a6db6792748f625da0133dd8180a3777080ad0214de"}, "result.json": {"key": "experiments/half-0f8267b5/net/trial/2/1-bdbcce4a/result.json", "etag": "18ec98cd50243742", "size": 2325, "sha256": "b6b3da0026e15beebc99187d4e88a0667883f0805b33c4f2ab65f69f97674391"}, "predictions.npz": {"key": "experiments/half-0f8267b5/net/trial/2/1-bdbcce4a/predictions.npz", "etag": "18ec98cd4f5879c9", "size": 2944, "sha256": "71bda221329ad92fe56e2f2f4b02738cafcf9a7bfd389796c9d135406f1ee8c3"}}', NULL, 8, '2026-11-29 18:52:39.064352+00');
INSERT INTO job.task VALUES ('half-0f8267b5', 'cnn', 'trial', 2, 'waiting', 1, NULL, NULL, 97, 0, 97, '{"learning_rate": 0.004688380095811523}', NULL, NULL, NULL, NULL, 3, NULL);
INSERT INTO job.task VALUES ('half-0f8267b5', 'cnn', 'trial', 3, 'running', 1, '03c9058be70d46c7901990bd336db993', '2026-11-29 18:53:05.663363+00', 68, 0, 0, '{"learning_rate": 0.0012876064845351986}', NULL, NULL, NULL, NULL, 4, NULL);
INSERT INTO job.task VALUES ('half-0f8267b5', 'cnn', 'trial', 4, 'failed', 3, NULL, NULL, 0, 3, 0, NULL, NULL, NULL, NULL, '3 attempts failed in a row, the last with: an error of the test', 5, '2026-11-29 18:53:01.980741+00');
INSERT INTO job.task VALUES ('half-0f8267b5', 'net', 'final', 0, 'complete', 1, NULL, NULL, 26, 0, 0, '{"learning_rate": 0.004644018179570159}', 0.16666666666666666, '{"n": 60, "f1": 0.05629629629629629, "recall": 0.16666666666666666, "roc_auc": 0.6429012345679012, "accuracy": 0.16666666666666666, "log_loss": 2.18200651951956, "weighted": {"f1": 0.056296296296296296, "recall": 0.16666666666666666, "precision": 0.03443223443223443}, "intervals": {"f1": [0.04147157190635452, 0.0711111111111111], "recall": [0.13333333333333333, 0.2], "roc_auc": [0.588888888888889, 0.6969135802469135], "accuracy": [0.09313176979191451, 0.2803161316361454], "log_loss": [2.127956064645812, 2.2390376472338422], "precision": [0.02490842490842491, 0.04395604395604395], "balanced_accuracy": [0.13333333333333333, 0.2]}, "per_class": [{"f1": 0.0, "class": "0", "recall": 0.0, "roc_auc": 0.6759259259259259, "support": 6, "precision": 0.0}, {"f1": 0.2962962962962963, "class": "1", "recall": 0.6666666666666666, "roc_auc": 0.7222222222222222, "support": 6, "precision": 0.19047619047619047}, {"f1": 0.0, "class": "2", "recall": 0.0, "roc_auc": 0.5987654320987654, "support": 6, "precision": 0.0}, {"f1": 0.0, "class": "3", "recall": 0.0, "roc_auc": 0.6944444444444444, "support": 6, "precision": 0.0}, {"f1": 0.0, "class": "4", "recall": 0.0, "roc_auc": 0.9444444444444444, "support": 6, "precision": 0.0}, {"f1": 0.26666666666666666, "class": "5", "recall": 1.0, "roc_auc": 0.6944444444444444, "support": 6, "precision": 0.15384615384615385}, {"f1": 0.0, "class": "6", "recall": 0.0, "roc_auc": 0.47530864197530864, "support": 6, "precision": 0.0}, {"f1": 0.0, "class": "7", "recall": 0.0, "roc_auc": 0.45987654320987653, "support": 6, "precision": 0.0}, {"f1": 0.0, "class": "8", "recall": 0.0, "roc_auc": 0.6111111111111112, "support": 6, "precision": 0.0}, {"f1": 0.0, "class": "9", "recall": 0.0, "roc_auc": 0.5524691358024691, "support": 6, "precision": 0.0}], "precision": 0.034432234432234435, "roc_auc_reason": null, "without_copies": null, "confusion_matrix": [[0, 0, 0, 0, 0, 6, 0, 0, 0, 0], [0, 4, 0, 0, 0, 2, 0, 0, 0, 0], [0, 2, 0, 0, 0, 4, 0, 0, 0, 0], [0, 0, 0, 0, 0, 6, 0, 0, 0, 0], [0, 6, 0, 0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 6, 0, 0, 0, 0], [0, 3, 0, 0, 0, 3, 0, 0, 0, 0], [0, 3, 0, 0, 0, 3, 0, 0, 0, 0], [0, 2, 0, 0, 0, 4, 0, 0, 0, 0], [0, 1, 0, 0, 0, 5, 0, 0, 0, 0]], "balanced_accuracy": 0.16666666666666666, "undefined_precision": ["0", "2", "3", "4", "6", "7", "8", "9"]}', '{"history.csv": {"key": "experiments/half-0f8267b5/net/final/0/1-436c8b32/history.csv", "etag": "18ec98ceda5af1c8", "size": 110, "sha256": "380b1ce26420e3c353ad001032da6a17a21cb8a195441ffed006c65ad03bb5f7"}, "model.keras": {"key": "experiments/half-0f8267b5/net/final/0/1-436c8b32/model.keras", "etag": "18ec98ced9bd99ec", "size": 68975, "sha256": "5cd5f9464e7843176986b72e883ed0a6fa45ad53dfa8fd0f7169ce2e22f10137"}, "result.json": {"key": "experiments/half-0f8267b5/net/final/0/1-436c8b32/result.json", "etag": "18ec98cedaf9d0ec", "size": 5841, "sha256": "1c00f9553d706400075a4393cf941a29f55a26a242b320c4c1c34f08ac8c8bf8"}, "mistakes.npz": {"key": "experiments/half-0f8267b5/net/final/0/1-436c8b32/mistakes.npz", "etag": "18ec98ceda35d765", "size": 50756, "sha256": "805c80474d76c413a977494e89dfde4f2a819da980412aaa9f84bdb45d4f400e"}, "predictions.npz": {"key": "experiments/half-0f8267b5/net/final/0/1-436c8b32/predictions.npz", "etag": "18ec98ced98c2dfe", "size": 4064, "sha256": "434e5ca6ce6476aad9067eac34bc1dd6ca213994a3a98eaf751fcbd014f11724"}}', NULL, NULL, '2026-11-29 18:52:45.642836+00');
INSERT INTO job.task VALUES ('half-0f8267b5', 'cnn', 'trial', 0, 'complete', 1, NULL, NULL, 200, 0, 0, '{"learning_rate": 0.002274404806219159}', 0.15, '{"accuracy": 0.15, "log_loss": 2.285566994361389}', '{"history.csv": {"key": "experiments/half-0f8267b5/cnn/trial/0/1-54ed4690/history.csv", "etag": "18ec98cff5105d1e", "size": 1621, "sha256": "f2b475a508ec8636d7a968b8d99cdc2d33989f280f242f049bc028dfd6871a0b"}, "result.json": {"key": "experiments/half-0f8267b5/cnn/trial/0/1-54ed4690/result.json", "etag": "18ec98cff5ae5fbc", "size": 3439, "sha256": "eff38328a9f7c23c9141f48bee674d485314a191e40f100e1057a094e8c64e25"}, "predictions.npz": {"key": "experiments/half-0f8267b5/cnn/trial/0/1-54ed4690/predictions.npz", "etag": "18ec98cff3b7f47f", "size": 2944, "sha256": "56d3ab5c4bb709ac03689b6ee3f8182fbda599f9b0bb14f3e0a73740c9a58249"}}', NULL, 1, '2026-11-29 18:52:50.4071+00');
INSERT INTO job.task VALUES ('half-0f8267b5', 'cnn', 'trial', 1, 'complete', 1, NULL, NULL, 200, 0, 0, '{"learning_rate": 0.0034753059102149344}', 0.225, '{"accuracy": 0.225, "log_loss": 2.2774423751583965}', '{"history.csv": {"key": "experiments/half-0f8267b5/cnn/trial/1/1-3e5b8b90/history.csv", "etag": "18ec98d10395f117", "size": 1612, "sha256": "bceeb79eeed37a9f18b1f0f65dd53b148a5609bbbbae2d0e500446ebcb1d3aaf"}, "result.json": {"key": "experiments/half-0f8267b5/cnn/trial/1/1-3e5b8b90/result.json", "etag": "18ec98d103cffbec", "size": 3443, "sha256": "bfbfa1ac01a6d4faa6b27fcd72a6f9e31a624289bf6e697a644b1460b8de5b02"}, "predictions.npz": {"key": "experiments/half-0f8267b5/cnn/trial/1/1-3e5b8b90/predictions.npz", "etag": "18ec98d1035f46d1", "size": 2944, "sha256": "391951e98bba7a546e22cb79ade4ea1e156a67439e3b04f7e203d83b66d74c59"}}', NULL, 2, '2026-11-29 18:52:54.967034+00');


--
-- Data for Name: trial_heartbeats; Type: TABLE DATA; Schema: job; Owner: -
--



--
-- Data for Name: trial_intermediate_values; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.trial_intermediate_values VALUES (1, 6, 1, 0.2, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (2, 6, 2, 0.2, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (3, 7, 1, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (4, 7, 2, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (5, 8, 1, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (6, 8, 2, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (7, 9, 1, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (8, 9, 2, 0.175, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (9, 10, 1, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (10, 10, 2, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (11, 1, 1, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (12, 1, 2, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (13, 1, 3, 0.125, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (14, 1, 4, 0.175, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (15, 1, 5, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (16, 1, 6, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (17, 1, 7, 0.175, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (18, 1, 8, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (19, 1, 9, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (20, 1, 10, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (21, 1, 11, 0.175, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (22, 1, 12, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (23, 1, 13, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (24, 1, 14, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (25, 1, 15, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (26, 1, 16, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (27, 1, 17, 0.125, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (28, 1, 18, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (29, 1, 19, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (30, 1, 20, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (31, 2, 1, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (32, 2, 2, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (33, 2, 3, 0.125, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (34, 2, 4, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (35, 2, 5, 0.175, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (36, 2, 6, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (37, 2, 7, 0.125, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (38, 2, 8, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (39, 2, 9, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (40, 2, 10, 0.125, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (41, 2, 11, 0.175, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (42, 2, 12, 0.15, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (43, 2, 13, 0.125, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (44, 2, 14, 0.175, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (45, 2, 15, 0.2, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (46, 2, 16, 0.2, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (47, 2, 17, 0.2, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (48, 2, 18, 0.225, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (49, 2, 19, 0.2, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (50, 2, 20, 0.225, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (51, 3, 1, 0.125, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (52, 3, 2, 0.075, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (53, 3, 3, 0.05, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (54, 3, 4, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (55, 3, 5, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (56, 3, 6, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (57, 3, 7, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (58, 3, 8, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (59, 3, 9, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (60, 4, 1, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (61, 4, 2, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (62, 4, 3, 0.1, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (63, 4, 4, 0.075, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (64, 4, 5, 0.075, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (65, 4, 6, 0.075, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (66, 4, 7, 0.075, 'FINITE');
INSERT INTO job.trial_intermediate_values VALUES (67, 4, 8, 0.075, 'FINITE');


--
-- Data for Name: trial_params; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.trial_params VALUES (1, 6, 'learning_rate', 0.004644018179570159, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.01, "log": true}}');
INSERT INTO job.trial_params VALUES (2, 7, 'learning_rate', 0.002271340781885985, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.01, "log": true}}');
INSERT INTO job.trial_params VALUES (3, 8, 'learning_rate', 0.0034457504174044444, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.01, "log": true}}');
INSERT INTO job.trial_params VALUES (4, 9, 'learning_rate', 0.004734839364491901, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.01, "log": true}}');
INSERT INTO job.trial_params VALUES (5, 10, 'learning_rate', 0.0014024294629520152, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.01, "log": true}}');
INSERT INTO job.trial_params VALUES (6, 1, 'learning_rate', 0.002274404806219159, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.01, "log": true}}');
INSERT INTO job.trial_params VALUES (7, 2, 'learning_rate', 0.0034753059102149344, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.01, "log": true}}');
INSERT INTO job.trial_params VALUES (8, 3, 'learning_rate', 0.004688380095811523, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.01, "log": true}}');
INSERT INTO job.trial_params VALUES (9, 4, 'learning_rate', 0.0012876064845351986, '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.001, "high": 0.01, "log": true}}');


--
-- Data for Name: trial_system_attributes; Type: TABLE DATA; Schema: job; Owner: -
--



--
-- Data for Name: trial_user_attributes; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.trial_user_attributes VALUES (1, 5, 'reason', '"3 attempts failed in a row, the last with: an error of the test"');


--
-- Data for Name: trial_values; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.trial_values VALUES (1, 6, 0, 0.2, 'FINITE');
INSERT INTO job.trial_values VALUES (2, 7, 0, 0.1, 'FINITE');
INSERT INTO job.trial_values VALUES (3, 8, 0, 0.1, 'FINITE');
INSERT INTO job.trial_values VALUES (4, 9, 0, 0.175, 'FINITE');
INSERT INTO job.trial_values VALUES (5, 10, 0, 0.1, 'FINITE');
INSERT INTO job.trial_values VALUES (6, 1, 0, 0.15, 'FINITE');
INSERT INTO job.trial_values VALUES (7, 2, 0, 0.225, 'FINITE');


--
-- Data for Name: trials; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.trials VALUES (6, 0, 2, 'COMPLETE', '2026-11-29 18:52:36.274204', '2026-11-29 18:52:36.980466');
INSERT INTO job.trials VALUES (7, 1, 2, 'COMPLETE', '2026-11-29 18:52:37.131187', '2026-11-29 18:52:37.80784');
INSERT INTO job.trials VALUES (8, 2, 2, 'COMPLETE', '2026-11-29 18:52:37.965142', '2026-11-29 18:52:39.062731');
INSERT INTO job.trials VALUES (9, 3, 2, 'COMPLETE', '2026-11-29 18:52:39.211259', '2026-11-29 18:52:40.210411');
INSERT INTO job.trials VALUES (10, 4, 2, 'COMPLETE', '2026-11-29 18:52:40.42194', '2026-11-29 18:52:41.393035');
INSERT INTO job.trials VALUES (1, 0, 1, 'COMPLETE', '2026-11-29 18:52:45.905306', '2026-11-29 18:52:50.405475');
INSERT INTO job.trials VALUES (2, 1, 1, 'COMPLETE', '2026-11-29 18:52:50.559669', '2026-11-29 18:52:54.965418');
INSERT INTO job.trials VALUES (3, 2, 1, 'RUNNING', '2026-11-29 18:52:55.177298', NULL);
INSERT INTO job.trials VALUES (4, 3, 1, 'RUNNING', '2026-11-29 18:52:58.70762', NULL);
INSERT INTO job.trials VALUES (5, 4, 1, 'FAIL', '2026-11-29 18:53:01.825814', '2026-11-29 18:53:01.975334');


--
-- Data for Name: version_info; Type: TABLE DATA; Schema: job; Owner: -
--

INSERT INTO job.version_info VALUES (1, 12, '5.0.0');


--
-- Name: studies_study_id_seq; Type: SEQUENCE SET; Schema: job; Owner: -
--

SELECT pg_catalog.setval('job.studies_study_id_seq', 2, true);


--
-- Name: study_directions_study_direction_id_seq; Type: SEQUENCE SET; Schema: job; Owner: -
--

SELECT pg_catalog.setval('job.study_directions_study_direction_id_seq', 2, true);


--
-- Name: study_system_attributes_study_system_attribute_id_seq; Type: SEQUENCE SET; Schema: job; Owner: -
--

SELECT pg_catalog.setval('job.study_system_attributes_study_system_attribute_id_seq', 1, false);


--
-- Name: study_user_attributes_study_user_attribute_id_seq; Type: SEQUENCE SET; Schema: job; Owner: -
--

SELECT pg_catalog.setval('job.study_user_attributes_study_user_attribute_id_seq', 1, false);


--
-- Name: trial_heartbeats_trial_heartbeat_id_seq; Type: SEQUENCE SET; Schema: job; Owner: -
--

SELECT pg_catalog.setval('job.trial_heartbeats_trial_heartbeat_id_seq', 1, false);


--
-- Name: trial_intermediate_values_trial_intermediate_value_id_seq; Type: SEQUENCE SET; Schema: job; Owner: -
--

SELECT pg_catalog.setval('job.trial_intermediate_values_trial_intermediate_value_id_seq', 67, true);


--
-- Name: trial_params_param_id_seq; Type: SEQUENCE SET; Schema: job; Owner: -
--

SELECT pg_catalog.setval('job.trial_params_param_id_seq', 9, true);


--
-- Name: trial_system_attributes_trial_system_attribute_id_seq; Type: SEQUENCE SET; Schema: job; Owner: -
--

SELECT pg_catalog.setval('job.trial_system_attributes_trial_system_attribute_id_seq', 1, false);


--
-- Name: trial_user_attributes_trial_user_attribute_id_seq; Type: SEQUENCE SET; Schema: job; Owner: -
--

SELECT pg_catalog.setval('job.trial_user_attributes_trial_user_attribute_id_seq', 1, true);


--
-- Name: trial_values_trial_value_id_seq; Type: SEQUENCE SET; Schema: job; Owner: -
--

SELECT pg_catalog.setval('job.trial_values_trial_value_id_seq', 7, true);


--
-- Name: trials_trial_id_seq; Type: SEQUENCE SET; Schema: job; Owner: -
--

SELECT pg_catalog.setval('job.trials_trial_id_seq', 10, true);


--
-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);


--
-- Name: attempt attempt_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (experiment, model, stage, index, number);


--
-- Name: epoch epoch_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.epoch
    ADD CONSTRAINT epoch_pkey PRIMARY KEY (experiment, model, stage, index, epoch);


--
-- Name: experiment experiment_name_key; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.experiment
    ADD CONSTRAINT experiment_name_key UNIQUE (name);


--
-- Name: experiment experiment_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.experiment
    ADD CONSTRAINT experiment_pkey PRIMARY KEY (id);


--
-- Name: job_schema job_schema_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.job_schema
    ADD CONSTRAINT job_schema_pkey PRIMARY KEY (version);


--
-- Name: opening opening_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.opening
    ADD CONSTRAINT opening_pkey PRIMARY KEY (experiment, model, stage, index, attempt);


--
-- Name: selection selection_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.selection
    ADD CONSTRAINT selection_pkey PRIMARY KEY (experiment, model);


--
-- Name: studies studies_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.studies
    ADD CONSTRAINT studies_pkey PRIMARY KEY (study_id);


--
-- Name: study_directions study_directions_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.study_directions
    ADD CONSTRAINT study_directions_pkey PRIMARY KEY (study_direction_id);


--
-- Name: study_directions study_directions_study_id_objective_key; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.study_directions
    ADD CONSTRAINT study_directions_study_id_objective_key UNIQUE (study_id, objective);


--
-- Name: study_system_attributes study_system_attributes_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.study_system_attributes
    ADD CONSTRAINT study_system_attributes_pkey PRIMARY KEY (study_system_attribute_id);


--
-- Name: study_system_attributes study_system_attributes_study_id_key_key; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.study_system_attributes
    ADD CONSTRAINT study_system_attributes_study_id_key_key UNIQUE (study_id, key);


--
-- Name: study_user_attributes study_user_attributes_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.study_user_attributes
    ADD CONSTRAINT study_user_attributes_pkey PRIMARY KEY (study_user_attribute_id);


--
-- Name: study_user_attributes study_user_attributes_study_id_key_key; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.study_user_attributes
    ADD CONSTRAINT study_user_attributes_study_id_key_key UNIQUE (study_id, key);


--
-- Name: task task_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.task
    ADD CONSTRAINT task_pkey PRIMARY KEY (experiment, model, stage, index);


--
-- Name: trial_heartbeats trial_heartbeats_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_pkey PRIMARY KEY (trial_heartbeat_id);


--
-- Name: trial_heartbeats trial_heartbeats_trial_id_key; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_trial_id_key UNIQUE (trial_id);


--
-- Name: trial_intermediate_values trial_intermediate_values_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_pkey PRIMARY KEY (trial_intermediate_value_id);


--
-- Name: trial_intermediate_values trial_intermediate_values_trial_id_step_key; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_trial_id_step_key UNIQUE (trial_id, step);


--
-- Name: trial_params trial_params_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_params
    ADD CONSTRAINT trial_params_pkey PRIMARY KEY (param_id);


--
-- Name: trial_params trial_params_trial_id_param_name_key; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_params
    ADD CONSTRAINT trial_params_trial_id_param_name_key UNIQUE (trial_id, param_name);


--
-- Name: trial_system_attributes trial_system_attributes_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_pkey PRIMARY KEY (trial_system_attribute_id);


--
-- Name: trial_system_attributes trial_system_attributes_trial_id_key_key; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_trial_id_key_key UNIQUE (trial_id, key);


--
-- Name: trial_user_attributes trial_user_attributes_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_pkey PRIMARY KEY (trial_user_attribute_id);


--
-- Name: trial_user_attributes trial_user_attributes_trial_id_key_key; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_trial_id_key_key UNIQUE (trial_id, key);


--
-- Name: trial_values trial_values_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_values
    ADD CONSTRAINT trial_values_pkey PRIMARY KEY (trial_value_id);


--
-- Name: trial_values trial_values_trial_id_objective_key; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_values
    ADD CONSTRAINT trial_values_trial_id_objective_key UNIQUE (trial_id, objective);


--
-- Name: trials trials_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trials
    ADD CONSTRAINT trials_pkey PRIMARY KEY (trial_id);


--
-- Name: version_info version_info_pkey; Type: CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.version_info
    ADD CONSTRAINT version_info_pkey PRIMARY KEY (version_info_id);


--
-- Name: epoch_rivals; Type: INDEX; Schema: job; Owner: -
--

CREATE INDEX epoch_rivals ON job.epoch USING btree (experiment, model, epoch, bracket) WHERE (stage = 'trial'::text);


--
-- Name: epoch_values; Type: INDEX; Schema: job; Owner: -
--

CREATE INDEX epoch_values ON job.epoch USING btree (experiment, model, epoch, index) INCLUDE (value) WHERE (stage = 'trial'::text);


--
-- Name: ix_studies_study_name; Type: INDEX; Schema: job; Owner: -
--

CREATE UNIQUE INDEX ix_studies_study_name ON job.studies USING btree (study_name);


--
-- Name: ix_trials_study_id; Type: INDEX; Schema: job; Owner: -
--

CREATE INDEX ix_trials_study_id ON job.trials USING btree (study_id);


--
-- Name: task_best; Type: INDEX; Schema: job; Owner: -
--

CREATE INDEX task_best ON job.task USING btree (experiment, model, value) WHERE ((stage = 'trial'::text) AND (state = 'complete'::text));


--
-- Name: task_running; Type: INDEX; Schema: job; Owner: -
--

CREATE INDEX task_running ON job.task USING btree (experiment, model) WHERE ((stage = 'trial'::text) AND (state = 'running'::text));


--
-- Name: task_spread; Type: INDEX; Schema: job; Owner: -
--

CREATE INDEX task_spread ON job.task USING btree (experiment, model, mod(((index)::bigint * '2654435769'::bigint), '4294967296'::bigint)) WHERE ((stage = 'trial'::text) AND (parameters IS NOT NULL));


--
-- Name: task_states; Type: INDEX; Schema: job; Owner: -
--

CREATE INDEX task_states ON job.task USING btree (experiment, state, model, stage, index);


--
-- Name: epoch optuna_follows_epoch; Type: TRIGGER; Schema: job; Owner: -
--

CREATE TRIGGER optuna_follows_epoch AFTER INSERT ON job.epoch FOR EACH ROW WHEN (((new.stage = 'trial'::text) AND (new.value IS NOT NULL))) EXECUTE FUNCTION job.optuna_follows_epoch();


--
-- Name: task optuna_follows_task; Type: TRIGGER; Schema: job; Owner: -
--

CREATE TRIGGER optuna_follows_task AFTER UPDATE OF state, parameters, value, reason ON job.task FOR EACH ROW WHEN ((new.optuna_trial_id IS NOT NULL)) EXECUTE FUNCTION job.optuna_follows_task();


--
-- Name: attempt attempt_experiment_model_stage_index_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.attempt
    ADD CONSTRAINT attempt_experiment_model_stage_index_fkey FOREIGN KEY (experiment, model, stage, index) REFERENCES job.task(experiment, model, stage, index) ON DELETE CASCADE;


--
-- Name: epoch epoch_experiment_model_stage_index_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.epoch
    ADD CONSTRAINT epoch_experiment_model_stage_index_fkey FOREIGN KEY (experiment, model, stage, index) REFERENCES job.task(experiment, model, stage, index) ON DELETE CASCADE;


--
-- Name: opening opening_experiment_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.opening
    ADD CONSTRAINT opening_experiment_fkey FOREIGN KEY (experiment) REFERENCES job.experiment(id) ON DELETE CASCADE;


--
-- Name: selection selection_experiment_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.selection
    ADD CONSTRAINT selection_experiment_fkey FOREIGN KEY (experiment) REFERENCES job.experiment(id) ON DELETE CASCADE;


--
-- Name: study_directions study_directions_study_id_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.study_directions
    ADD CONSTRAINT study_directions_study_id_fkey FOREIGN KEY (study_id) REFERENCES job.studies(study_id);


--
-- Name: study_system_attributes study_system_attributes_study_id_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.study_system_attributes
    ADD CONSTRAINT study_system_attributes_study_id_fkey FOREIGN KEY (study_id) REFERENCES job.studies(study_id);


--
-- Name: study_user_attributes study_user_attributes_study_id_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.study_user_attributes
    ADD CONSTRAINT study_user_attributes_study_id_fkey FOREIGN KEY (study_id) REFERENCES job.studies(study_id);


--
-- Name: task task_experiment_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.task
    ADD CONSTRAINT task_experiment_fkey FOREIGN KEY (experiment) REFERENCES job.experiment(id) ON DELETE CASCADE;


--
-- Name: trial_heartbeats trial_heartbeats_trial_id_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_heartbeats
    ADD CONSTRAINT trial_heartbeats_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES job.trials(trial_id);


--
-- Name: trial_intermediate_values trial_intermediate_values_trial_id_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_intermediate_values
    ADD CONSTRAINT trial_intermediate_values_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES job.trials(trial_id);


--
-- Name: trial_params trial_params_trial_id_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_params
    ADD CONSTRAINT trial_params_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES job.trials(trial_id);


--
-- Name: trial_system_attributes trial_system_attributes_trial_id_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_system_attributes
    ADD CONSTRAINT trial_system_attributes_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES job.trials(trial_id);


--
-- Name: trial_user_attributes trial_user_attributes_trial_id_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_user_attributes
    ADD CONSTRAINT trial_user_attributes_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES job.trials(trial_id);


--
-- Name: trial_values trial_values_trial_id_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trial_values
    ADD CONSTRAINT trial_values_trial_id_fkey FOREIGN KEY (trial_id) REFERENCES job.trials(trial_id);


--
-- Name: trials trials_study_id_fkey; Type: FK CONSTRAINT; Schema: job; Owner: -
--

ALTER TABLE ONLY job.trials
    ADD CONSTRAINT trials_study_id_fkey FOREIGN KEY (study_id) REFERENCES job.studies(study_id);


--
-- PostgreSQL database dump complete
--

\unrestrict half


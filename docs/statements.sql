-- Every statement that the service sends to PostgreSQL, by the file that holds it (below service/pointsman_service).
-- Parameters are written :name. The code assembles some from parts that they share; here each stands as it is sent.
-- Generated. To refresh it: .venv/bin/python scripts/statements_reference.py

----------------------------------------------------------------------------------------------------------------------
-- store/alerts/alerts.py
-- Alerts and their silences.

-- _OPEN
-- An old leader may open the same alert: the index over what is open lets one of them win.
INSERT INTO alert (id, key, rule, subject, severity, summary, value, bound, unit, link, also, since) SELECT id, key,
    rule, subject, severity, summary, value, bound, unit, link, string_to_array(n.also, chr(31)), least(now(),
    to_timestamp(since)) FROM unnest(CAST(:id AS uuid[]), CAST(:key AS text[]), CAST(:rule AS text[]),
    CAST(:subject AS text[]), CAST(:severity AS text[]), CAST(:summary AS text[]), CAST(:value AS float8[]),
    CAST(:bound AS float8[]), CAST(:unit AS text[]), CAST(:link AS text[]), CAST(:also AS text[]),
    CAST(:since AS float8[])) AS n (id, key, rule, subject, severity, summary, value, bound, unit, link, also, since)
    ORDER BY key ON CONFLICT (key) WHERE resolved_at IS NULL DO NOTHING RETURNING alert.id, alert.key, alert.rule,
    alert.subject, alert.severity, alert.summary, alert.value, alert.bound, alert.unit, alert.link, alert.since,
    alert.opened_at, alert.updated_at, alert.resolved_at, alert.notified_at, alert.acked_at, alert.acked_by,
    alert.ack_reason, alert.also, alert.part_of, (SELECT max(s.until) FROM alert_silence s WHERE s.until > now()
    AND s.matcher IN (alert.key, alert.rule)) AS silenced_until;

-- _REFRESH
-- What becomes a page is told anew, to those who take pages.
UPDATE alert SET summary = n.summary, value = n.value, bound = n.bound, also = string_to_array(n.also, chr(31)),
    updated_at = now(), severity = CASE WHEN n.severity = 'page' THEN n.severity ELSE alert.severity END,
    notified_at = CASE WHEN n.severity = 'page' AND alert.severity <> 'page' THEN NULL ELSE notified_at END
    FROM unnest(CAST(:id AS uuid[]), CAST(:severity AS text[]), CAST(:summary AS text[]), CAST(:value AS float8[]),
    CAST(:bound AS float8[]), CAST(:also AS text[])) AS n (id, severity, summary, value, bound, also)
    WHERE alert.id = n.id AND alert.resolved_at IS NULL;

-- _RESOLVE
UPDATE alert SET resolved_at = now(), part_of = n.part_of FROM unnest(CAST(:id AS uuid[]),
    CAST(:part_of AS text[])) AS n (id, part_of) WHERE alert.id = n.id AND alert.resolved_at IS NULL
    RETURNING alert.id, alert.key, alert.rule, alert.subject, alert.severity, alert.summary, alert.value, alert.bound,
    alert.unit, alert.link, alert.since, alert.opened_at, alert.updated_at, alert.resolved_at, alert.notified_at,
    alert.acked_at, alert.acked_by, alert.ack_reason, alert.also, alert.part_of, (SELECT max(s.until)
    FROM alert_silence s WHERE s.until > now() AND s.matcher IN (alert.key, alert.rule)) AS silenced_until;

-- IN_MIND
SELECT alert.id, alert.key, alert.rule, alert.subject, alert.severity, alert.summary, alert.value, alert.bound,
    alert.unit, alert.link, alert.since, alert.opened_at, alert.updated_at, alert.resolved_at, alert.notified_at,
    alert.acked_at, alert.acked_by, alert.ack_reason, alert.also, alert.part_of, (SELECT max(s.until)
    FROM alert_silence s WHERE s.until > now() AND s.matcher IN (alert.key, alert.rule)) AS silenced_until FROM alert
WHERE resolved_at IS NULL OR (part_of IS NULL AND rule = ANY(CAST(:causes AS text[]))
    AND resolved_at > now() - CAST(:lately AS float8) * interval '1 second')
ORDER BY resolved_at IS NOT NULL, id LIMIT :most;

-- _TELL_FIRST
UPDATE alert SET notified_at = now()
WHERE resolved_at IS NULL AND severity = ANY(CAST(:severities AS text[])) AND notified_at IS NULL
    AND NOT EXISTS (SELECT FROM alert_silence s WHERE s.until > now() AND s.matcher IN (alert.key, alert.rule))
RETURNING alert.id, alert.key, alert.rule, alert.subject, alert.severity, alert.summary, alert.value, alert.bound,
    alert.unit, alert.link, alert.since, alert.opened_at, alert.updated_at, alert.resolved_at, alert.notified_at,
    alert.acked_at, alert.acked_by, alert.ack_reason, alert.also, alert.part_of, (SELECT max(s.until)
    FROM alert_silence s WHERE s.until > now() AND s.matcher IN (alert.key, alert.rule)) AS silenced_until;

-- _TELL_AGAIN
UPDATE alert SET notified_at = now()
WHERE resolved_at IS NULL AND severity = ANY(CAST(:severities AS text[])) AND acked_at IS NULL
    AND notified_at < now() - CAST(:repeat_seconds AS float8) * interval '1 second'
    AND NOT EXISTS (SELECT FROM alert_silence s WHERE s.until > now() AND s.matcher IN (alert.key, alert.rule))
RETURNING alert.id, alert.key, alert.rule, alert.subject, alert.severity, alert.summary, alert.value, alert.bound,
    alert.unit, alert.link, alert.since, alert.opened_at, alert.updated_at, alert.resolved_at, alert.notified_at,
    alert.acked_at, alert.acked_by, alert.ack_reason, alert.also, alert.part_of, (SELECT max(s.until)
    FROM alert_silence s WHERE s.until > now() AND s.matcher IN (alert.key, alert.rule)) AS silenced_until;

-- _ONE
SELECT alert.id, alert.key, alert.rule, alert.subject, alert.severity, alert.summary, alert.value, alert.bound,
    alert.unit, alert.link, alert.since, alert.opened_at, alert.updated_at, alert.resolved_at, alert.notified_at,
    alert.acked_at, alert.acked_by, alert.ack_reason, alert.also, alert.part_of, (SELECT max(s.until)
    FROM alert_silence s WHERE s.until > now() AND s.matcher IN (alert.key, alert.rule)) AS silenced_until FROM alert
    WHERE id = CAST(:id AS uuid);

-- _OPEN_PAGE
SELECT alert.id, alert.key, alert.rule, alert.subject, alert.severity, alert.summary, alert.value, alert.bound,
    alert.unit, alert.link, alert.since, alert.opened_at, alert.updated_at, alert.resolved_at, alert.notified_at,
    alert.acked_at, alert.acked_by, alert.ack_reason, alert.also, alert.part_of, (SELECT max(s.until)
    FROM alert_silence s WHERE s.until > now() AND s.matcher IN (alert.key, alert.rule)) AS silenced_until FROM alert
WHERE resolved_at IS NULL AND
(CAST(:acknowledged AS boolean) IS NULL OR (acked_at IS NOT NULL) = CAST(:acknowledged AS boolean))
    AND (CAST(:severity AS text) IS NULL OR severity = :severity)
    AND (CAST(:rule AS text) IS NULL OR rule = :rule)
    AND (CAST(:below AS uuid) IS NULL OR EXISTS (
        SELECT FROM alert b WHERE b.id = CAST(:below AS uuid) AND b.resolved_at IS NULL
            AND (coalesce(array_position(CAST(:order AS text[]), b.rule), 1000),
                alert.id) < (coalesce(array_position(CAST(:order AS text[]), alert.rule), 1000), b.id)))
ORDER BY coalesce(array_position(CAST(:order AS text[]), alert.rule), 1000), alert.id DESC LIMIT :most;

-- _RESOLVED_PAGE
SELECT alert.id, alert.key, alert.rule, alert.subject, alert.severity, alert.summary, alert.value, alert.bound,
    alert.unit, alert.link, alert.since, alert.opened_at, alert.updated_at, alert.resolved_at, alert.notified_at,
    alert.acked_at, alert.acked_by, alert.ack_reason, alert.also, alert.part_of, (SELECT max(s.until)
    FROM alert_silence s WHERE s.until > now() AND s.matcher IN (alert.key, alert.rule)) AS silenced_until FROM alert
WHERE resolved_at IS NOT NULL AND
(CAST(:acknowledged AS boolean) IS NULL OR (acked_at IS NOT NULL) = CAST(:acknowledged AS boolean))
    AND (CAST(:severity AS text) IS NULL OR severity = :severity)
    AND (CAST(:rule AS text) IS NULL OR rule = :rule)
    AND (CAST(:below AS uuid) IS NULL OR id < CAST(:below AS uuid)
        OR EXISTS (SELECT FROM alert b WHERE b.id = CAST(:below AS uuid) AND b.resolved_at IS NULL))
ORDER BY id DESC LIMIT :most;

-- _ACK
UPDATE alert SET acked_at = now(), acked_by = :actor, ack_reason = :reason
WHERE id = CAST(:id AS uuid) AND resolved_at IS NULL AND acked_at IS NULL;

-- _UNACK
UPDATE alert SET acked_at = NULL, acked_by = NULL, ack_reason = NULL
WHERE id = CAST(:id AS uuid) AND resolved_at IS NULL AND acked_at IS NOT NULL;

-- _COUNTS
SELECT rule, severity, count(*) AS alerts FROM alert WHERE resolved_at IS NULL GROUP BY rule, severity;

-- _SILENCE
INSERT INTO alert_silence AS s (id, matcher, until, actor, reason)
VALUES (CAST(:id AS uuid), :matcher, now() + CAST(:seconds AS float8) * interval '1 second', :actor, :reason)
RETURNING s.id, s.matcher, s.until, s.actor, s.reason, s.created_at;

-- _SILENCES
SELECT id, matcher, until, actor, reason, created_at FROM alert_silence WHERE until > now() ORDER BY id DESC
LIMIT :most;

-- _SILENCES_OF
SELECT count(*) FROM alert_silence WHERE until > now() AND matcher = :matcher;

-- _UNSILENCE
UPDATE alert_silence SET until = now() WHERE until > now() AND matcher = ANY(CAST(:matchers AS text[]))
AND (CAST(:id AS uuid) IS NULL OR id = CAST(:id AS uuid));

-- _WAS
INSERT INTO alert (id, key, rule, subject, severity, summary, unit, link, since, opened_at, resolved_at,
    notified_at)
VALUES (CAST(:id AS uuid), :rule, :rule, '', :severity, :summary, '', :link, :since, :since, now(),
    CASE WHEN :told THEN CAST(:since AS timestamptz) END)
ON CONFLICT (id) DO NOTHING;

----------------------------------------------------------------------------------------------------------------------
-- store/alerts/deliveries.py
-- Messages about alerts, one for each channel: what the notifier works through.

-- _ADD
INSERT INTO alert_delivery AS d (id, alert_id, event, channel, message) SELECT id, alert_id, event, channel,
    message::jsonb FROM unnest(CAST(:id AS uuid[]), CAST(:alert_id AS uuid[]), CAST(:event AS text[]),
    CAST(:channel AS text[]), CAST(:message AS text[])) AS n (id, alert_id, event, channel, message) ORDER BY id
    RETURNING d.id, d.alert_id, d.event, d.channel, d.message, d.status, d.attempts, d.next_at, d.last_status,
    d.error, d.created_at, d.ended_at, extract(epoch FROM now() - d.created_at)::float8 AS age_seconds;

-- _SENT
INSERT INTO alert_delivery (id, alert_id, event, channel, message, status, attempts, last_status, created_at,
    ended_at)
VALUES (CAST(:id AS uuid), CAST(:alert_id AS uuid), :event, :channel, CAST(:message AS jsonb), 'sent', 1,
    :last_status, :at, :at)
ON CONFLICT DO NOTHING;

-- _TAKE
-- A channel hears of one alert in order: what is over is not told before what began.
UPDATE alert_delivery d SET attempts = d.attempts + 1,
    next_at = now() + CAST(:lease AS float8) * interval '1 second'
WHERE d.id IN (
    SELECT p.id FROM alert_delivery p
    WHERE p.status = 'pending' AND p.next_at <= now() AND NOT p.channel = ANY(CAST(:busy AS text[]))
        AND NOT EXISTS (
        SELECT FROM alert_delivery b WHERE b.alert_id = p.alert_id AND b.channel = p.channel AND b.id < p.id
            AND b.status = 'pending')
    ORDER BY p.next_at LIMIT :most FOR UPDATE SKIP LOCKED)
RETURNING d.id, d.alert_id, d.event, d.channel, d.message, d.status, d.attempts, d.next_at, d.last_status, d.error,
    d.created_at, d.ended_at, extract(epoch FROM now() - d.created_at)::float8 AS age_seconds;

-- _END
UPDATE alert_delivery SET status = :status, last_status = :last_status, error = :error, ended_at = now()
WHERE id = CAST(:id AS uuid) AND status = 'pending';

-- _LATER
UPDATE alert_delivery SET last_status = :last_status, error = :error,
    next_at = now() + CAST(:seconds AS float8) * interval '1 second'
WHERE id = CAST(:id AS uuid) AND status = 'pending';

-- _ONE
SELECT d.id, d.alert_id, d.event, d.channel, d.message, d.status, d.attempts, d.next_at, d.last_status, d.error,
    d.created_at, d.ended_at, extract(epoch FROM now() - d.created_at)::float8 AS age_seconds FROM alert_delivery d
    WHERE d.id = CAST(:id AS uuid);

-- _PAGE
SELECT d.id, d.alert_id, d.event, d.channel, d.message, d.status, d.attempts, d.next_at, d.last_status, d.error,
    d.created_at, d.ended_at, extract(epoch FROM now() - d.created_at)::float8 AS age_seconds FROM alert_delivery d
WHERE (CAST(:alert_id AS uuid) IS NULL OR d.alert_id = CAST(:alert_id AS uuid))
    AND (CAST(:channel AS text) IS NULL OR d.channel = :channel)
    AND (CAST(:status AS text) IS NULL OR d.status = :status)
    AND (CAST(:below AS uuid) IS NULL OR d.id < CAST(:below AS uuid))
ORDER BY d.id DESC LIMIT :most;

-- _LAST_TRIED
-- Down the ids, each channel to the first that was tried.
SELECT d.id, d.alert_id, d.event, d.channel, d.message, d.status, d.attempts, d.next_at, d.last_status, d.error,
    d.created_at, d.ended_at, extract(epoch FROM now() - d.created_at)::float8 AS age_seconds
    FROM unnest(CAST(:channels AS text[])) AS c (channel)
CROSS JOIN LATERAL (SELECT * FROM alert_delivery t WHERE t.channel = c.channel AND t.attempts > 0
    ORDER BY t.id DESC LIMIT 1) AS d;

----------------------------------------------------------------------------------------------------------------------
-- store/alerts/facts.py
-- What the rules of alerts ask the database; each answer is bounded, however long the backlog.

-- _TRIPPED
-- A doubt is no alert: within a moment it is found that some inputs are bad, or it is open.
SELECT scope, name, seen, coalesce((SELECT extract(epoch FROM t.at)::float8 FROM breaker_transition t
    WHERE t.scope = b.scope AND t.name = b.name AND t.before IN ('closed', 'disabled') ORDER BY t.id DESC LIMIT 1),
    extract(epoch FROM b.updated_at)::float8) AS since, last_error
FROM breaker b WHERE seen IN ('open', 'half_open', 'forced_open')
    AND NOT (coalesce(b.seen = 'half_open' AND (b.machine ->> 'is_doubted')::boolean
    AND b.machine ->> 'resumes_at' IS NULL, false) AND b.updated_at > now() - interval '10 seconds')
ORDER BY scope, name LIMIT :most;

-- _DUE
-- A few probes of the index for each queue and priority: the minimum of a whole queue would read all of it.
SELECT q.queue, extract(epoch FROM now() - w.since)::float8 AS waiting, extract(epoch FROM now() - s.since)::float8
    AS sent, w.priority, s.priority
FROM unnest(CAST(:queues AS text[])) AS q (queue)
LEFT JOIN LATERAL (
    SELECT t.due_at + t.held_wait_seconds * interval '1 second' AS since, p.priority FROM generate_series(0,
        10) AS p (priority)
    CROSS JOIN LATERAL (SELECT t.due_at, t.held_wait_seconds FROM task_live t WHERE t.place = 'waiting'
        AND t.queue = q.queue AND t.priority = p.priority ORDER BY t.due_at LIMIT 20) AS t
    ORDER BY since LIMIT 1
) AS w ON true
LEFT JOIN LATERAL (
    SELECT t.due_at + t.held_wait_seconds * interval '1 second' AS since, t.priority FROM task_live t
    WHERE t.place = 'sent' AND t.queue = q.queue AND t.state = 'queued' ORDER BY since LIMIT 1
) AS s ON true;

-- _STARTS
SELECT queue, coalesce(sum(sla_met) FILTER (WHERE minute > now() - interval '300 seconds'), 0)::float8,
    coalesce(sum(sla_met) FILTER (WHERE minute > now() - interval '1800 seconds'), 0)::float8,
    coalesce(sum(sla_met) FILTER (WHERE minute > now() - interval '3600 seconds'), 0)::float8,
    coalesce(sum(sla_met) FILTER (WHERE minute > now() - interval '21600 seconds'), 0)::float8,
    coalesce(sum(sla_missed) FILTER (WHERE minute > now() - interval '300 seconds'), 0)::float8,
    coalesce(sum(sla_missed) FILTER (WHERE minute > now() - interval '1800 seconds'), 0)::float8,
    coalesce(sum(sla_missed) FILTER (WHERE minute > now() - interval '3600 seconds'), 0)::float8,
    coalesce(sum(sla_missed) FILTER (WHERE minute > now() - interval '21600 seconds'), 0)::float8 FROM (
    SELECT queue, minute, sla_met, sla_missed FROM task_metrics WHERE minute > now() - interval '21600 seconds'
        AND (sla_met > 0 OR sla_missed > 0)
    UNION ALL SELECT queue, minute, sla_met, sla_missed FROM task_metrics_delta
        WHERE minute > now() - interval '21600 seconds' AND (sla_met > 0 OR sla_missed > 0)
) AS counted GROUP BY queue;

-- _FAILED
SELECT task_type, sum(failed)::int AS failed FROM (
    SELECT task_type, failed FROM task_metrics WHERE minute > now() - interval '15 minutes' AND failed > 0
    UNION ALL
    SELECT task_type, failed FROM task_metrics_delta WHERE minute > now() - interval '15 minutes' AND failed > 0
) AS counted GROUP BY task_type ORDER BY failed DESC LIMIT :most;

-- _ERROR_NEWS
-- What an open breaker fails at once is no news of its own, nor are the failures of a dependency that have ended: they
-- were the breaker's.
SELECT id::text, task_type, blamed, error_type, message, extract(epoch FROM news_at)::float8, came_back
FROM error_group WHERE news_at > now() - interval '1 hour' AND state = 'open' AND occurrences > 0
    AND error_type IS DISTINCT FROM 'BreakerOpen'
    AND error_type IS DISTINCT FROM 'workers.BreakerOpen'
    AND (coalesce(blamed, '') NOT LIKE 'dependency:%' OR last_seen_at > now() - interval '5 minutes')
ORDER BY news_at, id LIMIT :most;

-- _LAST_FAILED
SELECT DISTINCT ON (task_type) task_type, id, error_type, left(error_message, 500) FROM (
    SELECT id, task_type, error_type, error_message FROM task WHERE state = 'failed'
    ORDER BY id DESC LIMIT 2000
) AS newest WHERE task_type = ANY(CAST(:task_types AS text[])) ORDER BY task_type, id DESC;

----------------------------------------------------------------------------------------------------------------------
-- store/api_keys.py
-- Keys of callers: made, rotated, revoked and read. Each change is numbered and told by a trigger.

-- _ADD
INSERT INTO api_key (id, digest, first_shown, last_shown, name, preset, scopes, task_types, queues, rate, burst,
    quota, weight, created_by, expires_at, replaces, session_of)
VALUES (:id, :digest, :first_shown, :last_shown, :name, :preset, CAST(:scopes AS text[]),
    CAST(:task_types AS text[]), CAST(:queues AS text[]), :rate, :burst, :quota, :weight,
    :created_by, now() + CAST(:expires_seconds AS float8) * interval '1 second', :replaces, :session_of)
ON CONFLICT (name) WHERE revoked_at IS NULL AND replaced_by IS NULL AND session_of IS NULL DO NOTHING
RETURNING id, revision, digest, first_shown, last_shown, name, preset, scopes, task_types, queues, rate, burst, quota,
    weight, created_at, created_by, expires_at, revoked_at, revoked_by, replaces, replaced_by, last_used_at,
    session_of;

-- _REPLACE
UPDATE api_key SET replaced_by = :by,
    expires_at = least(expires_at, now() + CAST(:overlap_seconds AS float8) * interval '1 second')
WHERE id = :id AND revoked_at IS NULL AND replaced_by IS NULL AND session_of IS NULL
RETURNING id;

-- _LIMIT
-- A key that goes on beside the one that replaced it is of the same caller.
UPDATE api_key SET rate = :rate, burst = :burst, quota = :quota, weight = :weight
WHERE name = (SELECT name FROM api_key WHERE id = :id AND session_of IS NULL) AND session_of IS NULL
    AND revoked_at IS NULL
    AND (rate, burst, quota, weight) IS DISTINCT FROM
        (:rate, CAST(:burst AS integer), CAST(:quota AS integer), CAST(:weight AS float8))
RETURNING id;

-- _REVOKE
UPDATE api_key SET revoked_at = now(), revoked_by = :by WHERE id = :id AND revoked_at IS NULL RETURNING id;

-- _REVOKE_SESSIONS
UPDATE api_key SET revoked_at = now(), revoked_by = :by
WHERE session_of IS NOT NULL AND name = :name AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > now());

-- _REVOKE_OLDEST_SESSIONS
UPDATE api_key SET revoked_at = now(), revoked_by = :name WHERE id IN (
SELECT id FROM api_key WHERE session_of IS NOT NULL AND name = :name AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > now())
ORDER BY id DESC OFFSET :kept);

-- _FIND
SELECT id, revision, digest, first_shown, last_shown, name, preset, scopes, task_types, queues, rate, burst, quota,
    weight, created_at, created_by, expires_at, revoked_at, revoked_by, replaces, replaced_by, last_used_at,
    session_of FROM api_key WHERE id = :id AND session_of IS NULL;

-- _BY_DIGEST
SELECT id, revision, digest, first_shown, last_shown, name, preset, scopes, task_types, queues, rate, burst, quota,
    weight, created_at, created_by, expires_at, revoked_at, revoked_by, replaces, replaced_by, last_used_at,
    session_of FROM api_key WHERE digest = :digest;

-- _LOCK
SELECT id, revision, digest, first_shown, last_shown, name, preset, scopes, task_types, queues, rate, burst, quota,
    weight, created_at, created_by, expires_at, revoked_at, revoked_by, replaces, replaced_by, last_used_at,
    session_of FROM api_key WHERE id = :id AND session_of IS NULL FOR UPDATE;

-- _PAGE
SELECT id, revision, digest, first_shown, last_shown, name, preset, scopes, task_types, queues, rate, burst, quota,
    weight, created_at, created_by, expires_at, revoked_at, revoked_by, replaces, replaced_by, last_used_at,
    session_of FROM api_key WHERE session_of IS NULL AND (CAST(:below AS uuid) IS NULL OR id < :below)
ORDER BY id DESC LIMIT :limit;

-- _BY_NAME
SELECT id, revision, digest, first_shown, last_shown, name, preset, scopes, task_types, queues, rate, burst, quota,
    weight, created_at, created_by, expires_at, revoked_at, revoked_by, replaces, replaced_by, last_used_at,
    session_of FROM api_key WHERE name = :name AND revoked_at IS NULL AND replaced_by IS NULL
AND session_of IS NULL;

-- _CHANGED
-- One statement: what has changed, and a word that whoever listens on this connection hears.
SELECT s.newest, s.at, k.* FROM (
    SELECT pg_notify('pointsman_keys', :word), now() AS at, (SELECT coalesce(max(revision), 0) FROM api_key) AS newest
) AS s LEFT JOIN (SELECT id, revision, digest, first_shown, last_shown, name, preset, scopes, task_types, queues,
    rate, burst, quota, weight, created_at, created_by, expires_at, revoked_at, revoked_by, replaces, replaced_by,
    last_used_at, session_of FROM api_key) AS k ON k.revision > :revision ORDER BY k.revision;

-- _USED
UPDATE api_key SET last_used_at = now() WHERE id = ANY(CAST(:ids AS uuid[]))
AND (last_used_at IS NULL OR last_used_at < now() - interval '50 seconds');

-- _ADMINS
SELECT count(*) FROM api_key WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())
AND (preset = 'admin' OR 'keys:act' = ANY(scopes))
AND task_types IS NULL AND queues IS NULL AND session_of IS NULL;

-- _WEIGHTS
-- A weight that is none, written by hand, would keep whoever shares from being sent anything.
SELECT name, weight FROM api_key
WHERE weight IS NOT NULL AND weight BETWEEN :least AND :most AND revoked_at IS NULL AND session_of IS NULL;

-- _FORGET
-- The newest change stays: were its number to fall, every process would take the database for another one.
DELETE FROM api_key WHERE id IN (
SELECT id FROM api_key WHERE session_of IS NOT NULL
    AND least(expires_at, revoked_at) < now() - interval '1 day'
    AND revision < (SELECT max(revision) FROM api_key) LIMIT :most);

----------------------------------------------------------------------------------------------------------------------
-- store/audit.py
-- What was changed by whom: an entry for each act, in its transaction, chained to the one before it by a trigger.

-- _ADD
INSERT INTO audit (act, subject, actor, caller, address, reason, request_id, counts)
VALUES (:act, :subject, :actor, :caller, :address, :reason, :request_id, CAST(:counts AS jsonb));

-- _ABOUT
SELECT a.id, CASE
WHEN a.act IN ('resolve_error', 'ignore_error', 'reopen_error') THEN
    (SELECT left(concat_ws(': ', nullif(split_part(g.error_type, '.', -1), ''), nullif(g.message, '')), 120)
        || ' of ' || g.task_type FROM error_group g WHERE g.id = a.subject::uuid)
WHEN a.act IN ('acknowledge_alert', 'unacknowledge_alert', 'silence_alert', 'unsilence_alert') THEN
    (SELECT left(l.summary, 120) FROM alert l WHERE l.id = a.subject::uuid)
WHEN a.act IN ('cancel_tasks', 'retry_tasks', 'stop_task_act', 'undo_task_act', 'replay_dead_letters') THEN
    (SELECT r.tasks::text FROM replay r WHERE r.id = a.subject::uuid)
END AS about FROM audit a WHERE a.id = ANY(CAST(:ids AS bigint[]));

-- _CHAINED
SELECT id, at, act, subject, actor, caller, address, reason, request_id, counts::text AS counts, number, previous,
    hash FROM audit WHERE number > :after ORDER BY number LIMIT :most;

-- _PUT_IN
-- Ids begin at 1, whatever is written since there is a chain has a number, and the end of the chain moves with it.
SELECT id, at, act, subject, actor, caller, address, reason, request_id, counts::text AS counts, number, previous,
    hash FROM audit
WHERE number > (SELECT entries FROM audit_head) OR (
    number IS NULL AND (id < 1 OR id > (SELECT min(id) FROM audit WHERE number IS NOT NULL)))
ORDER BY id LIMIT :most;

-- _HEAD
SELECT entries, hash, left_until FROM audit_head;

-- _LEAVE
SELECT leave_audit(:cutoff, :most);

-- page_of (all)
SELECT id, at, act, subject, actor, caller, address, reason, request_id, counts::text AS counts, number, previous,
    hash FROM audit  ORDER BY id DESC LIMIT :limit;

-- page_of (by all that is asked)
SELECT id, at, act, subject, actor, caller, address, reason, request_id, counts::text AS counts, number, previous,
    hash FROM audit WHERE act = :act AND caller = :caller AND actor = :actor AND subject = :subject AND at >= :after
    AND at < :before AND id < :below ORDER BY id DESC LIMIT :limit;

----------------------------------------------------------------------------------------------------------------------
-- store/breakers/breakers.py
-- Circuit breakers and the history of their states.

-- _FIND
SELECT scope, name, seen, epoch, extract(epoch FROM turns_at)::float8 AS turns_at, machine, policy, policy_version,
    last_error FROM breaker JOIN unnest(CAST(:scope AS text[]), CAST(:name AS text[])) AS wanted (scope, name)
    USING (scope, name) ORDER BY scope, name;

-- _LOCK
SELECT scope, name, seen, epoch, extract(epoch FROM turns_at)::float8 AS turns_at, machine, policy, policy_version,
    last_error FROM breaker JOIN unnest(CAST(:scope AS text[]), CAST(:name AS text[])) AS wanted (scope, name)
    USING (scope, name) ORDER BY scope, name FOR UPDATE;

-- _LIST
SELECT scope, name, seen, epoch, extract(epoch FROM turns_at)::float8 AS turns_at, machine, policy, policy_version,
    last_error FROM breaker
WHERE (CAST(:scope AS text) IS NULL OR scope = :scope) AND (CAST(:seen AS text) IS NULL OR seen = :seen)
    AND (scope, name) > (:after_scope, :after_name)
ORDER BY scope, name LIMIT :most;

-- _NOT_CLOSED
SELECT scope, name, seen, epoch, extract(epoch FROM turns_at)::float8 AS turns_at, machine, policy, policy_version,
    last_error FROM breaker
WHERE seen <> 'closed' AND (CAST(:scope AS text) IS NULL OR scope = :scope) ORDER BY scope, name LIMIT :most;

-- _UNUSUAL
-- One with an epoch moved once: reports name that epoch, so Redis must go on saying it.
SELECT scope, name, seen, epoch, extract(epoch FROM turns_at)::float8 AS turns_at, machine, policy, policy_version,
    last_error FROM breaker
WHERE scope <> 'worker' AND (seen <> 'closed' OR policy IS NOT NULL OR epoch > 0) ORDER BY scope, name;

-- _DUE
SELECT scope, name FROM breaker WHERE turns_at <= now() ORDER BY turns_at LIMIT :most;

-- _ADD
INSERT INTO breaker (scope, name, seen, machine)
SELECT scope, name, 'closed', '{}' FROM unnest(CAST(:scope AS text[]), CAST(:name AS text[])) AS wanted (scope, name)
    ORDER BY scope, name
ON CONFLICT DO NOTHING;

-- _COUNT
SELECT count(*) FROM breaker;

-- _COUNTS
SELECT scope, seen, count(*) AS breakers FROM breaker GROUP BY scope, seen;

-- _GUARDED
SELECT EXISTS (SELECT FROM breaker WHERE scope = :scope AND name = :name)
OR EXISTS (SELECT FROM task_type WHERE :scope = 'task_type' AND name = :name)
OR EXISTS (SELECT FROM worker WHERE :scope = 'worker' AND name = :name)
OR EXISTS (SELECT FROM task_type WHERE :scope = 'dependency'
    AND spec -> 'dependencies' @> to_jsonb(CAST(:name AS text)));

-- _GUARDED_NAMES
SELECT name FROM (
    SELECT name FROM breaker WHERE scope = :scope
    UNION SELECT name FROM task_type WHERE :scope = 'task_type'
    UNION SELECT name FROM worker WHERE :scope = 'worker'
    UNION SELECT jsonb_array_elements_text(spec -> 'dependencies') FROM task_type WHERE :scope = 'dependency'
) AS guarded
ORDER BY abs(length(name) - CAST(:length AS integer)), name LIMIT :most;

-- _SAVE
UPDATE breaker b SET seen = n.seen, epoch = n.epoch, turns_at = to_timestamp(n.turns_at), machine = n.machine::jsonb,
    policy = n.policy::jsonb, policy_version = n.policy_version, last_error = n.last_error::jsonb, updated_at = now()
    FROM unnest(CAST(:scope AS text[]), CAST(:name AS text[]), CAST(:seen AS text[]), CAST(:epoch AS integer[]),
    CAST(:turns_at AS float8[]), CAST(:machine AS text[]), CAST(:policy AS text[]),
    CAST(:policy_version AS integer[]), CAST(:last_error AS text[])) AS n (scope, name, seen, epoch, turns_at,
    machine, policy, policy_version, last_error) WHERE b.scope = n.scope AND b.name = n.name;

-- _FORGET
DELETE FROM breaker WHERE (scope, name) IN (
SELECT scope, name FROM breaker WHERE seen = 'closed' AND policy IS NULL
    AND updated_at < now() - CAST(:age AS float8) * interval '1 second'
FOR UPDATE SKIP LOCKED);

-- _IN_ORDER
-- Held to the end of the transaction, so that ids become visible in their order and no listener misses one.
SELECT pg_advisory_xact_lock(hashtextextended('pointsman breaker transitions', 0));

-- _KEEP
INSERT INTO breaker_transition (scope, name, at, epoch, before, after, reason, actor, error) SELECT scope, name, at,
    epoch, before, after, reason, actor, error::jsonb FROM unnest(CAST(:scope AS text[]), CAST(:name AS text[]),
    CAST(:at AS timestamptz[]), CAST(:epoch AS integer[]), CAST(:before AS text[]), CAST(:after AS text[]),
    CAST(:reason AS text[]), CAST(:actor AS text[]), CAST(:error AS text[])) AS rows (scope, name, at, epoch, before,
    after, reason, actor, error);

-- _HISTORY
SELECT id, scope, name, at, epoch, before, after, reason, actor, error FROM breaker_transition
WHERE scope = :scope AND name = :name AND id < :below ORDER BY id DESC LIMIT :most;

-- _LATELY
SELECT t.* FROM unnest(CAST(:scope AS text[]), CAST(:name AS text[])) AS wanted (scope, name) CROSS JOIN LATERAL (
    SELECT id, scope, name, at, epoch, before, after, reason, actor, error FROM breaker_transition h
    WHERE h.scope = wanted.scope AND h.name = wanted.name ORDER BY h.id DESC LIMIT :most) AS t
WHERE t.at > now() - CAST(:seconds AS float8) * interval '1 second'
ORDER BY t.id;

-- _SINCE
SELECT id, scope, name, at, epoch, before, after, reason, actor, error FROM breaker_transition WHERE id > :above
    ORDER BY id LIMIT :most;

-- _LAST
SELECT coalesce(max(id), 0) FROM breaker_transition;

----------------------------------------------------------------------------------------------------------------------
-- store/breakers/ejections.py
-- Workers that are taken off their queues, or were and are on probation: their breakers, and who lives beside them.

-- EJECTIONS
SELECT b.name, b.seen, extract(epoch FROM coalesce(t.at, b.updated_at))::float8 AS since,
    coalesce(b.machine->'override'->>'reason', t.reason, '') AS reason,
    coalesce(b.machine->'override'->>'actor', t.actor, '') AS actor,
    CASE b.seen WHEN 'open' THEN (b.machine->>'retry_at')::float8
        WHEN 'half_open' THEN NULL ELSE (b.machine->'override'->>'expires_at')::float8 END AS until
FROM breaker b LEFT JOIN LATERAL (
    SELECT at, reason, actor FROM breaker_transition t WHERE t.scope = b.scope AND t.name = b.name
    ORDER BY t.id DESC LIMIT 1
) t ON true
WHERE b.scope = 'worker' AND b.seen <> 'closed' ORDER BY b.name;

-- _LIVE
-- Of two starts of one node the newer one counts: the older is about to end.
SELECT DISTINCT ON (name) name, owner, pool, queues FROM worker
WHERE last_seen_at > now() - CAST(:seen_within AS float8) * interval '1 second'
    AND NOT owner = ANY(CAST(:ending AS text[]))
ORDER BY name, started_at DESC, owner;

-- _POOL
SELECT pool FROM worker WHERE name = :name ORDER BY last_seen_at DESC LIMIT 1;

-- _HELD
SELECT EXISTS (SELECT FROM breaker WHERE scope = 'worker' AND name = :name AND seen <> 'closed');

-- _IN_TURN
-- Two who decide at once could each leave half of a pool, and both together nothing.
SELECT pg_advisory_xact_lock(hashtextextended('pointsman ejections', 0));

-- _FORGET
DELETE FROM breaker b WHERE scope = 'worker' AND policy IS NULL
    AND updated_at < now() - CASE WHEN seen IN ('forced_open', 'disabled') THEN interval '7 days'
        ELSE interval '1 day' END
    AND NOT EXISTS (SELECT FROM worker w WHERE w.name = b.name)
RETURNING name;

----------------------------------------------------------------------------------------------------------------------
-- store/breakers/outcomes.py
-- What attempts came to, by worker, for some minutes: to tell one that fails more than its peers.

-- _ADD
INSERT INTO worker_outcome AS old (bucket, worker, task_type, calls, failures) SELECT bucket, worker, task_type,
    calls, failures FROM unnest(CAST(:bucket AS timestamptz[]), CAST(:worker AS text[]), CAST(:task_type AS text[]),
    CAST(:calls AS integer[]), CAST(:failures AS integer[])) AS rows (bucket, worker, task_type, calls, failures)
ON CONFLICT (bucket, worker, task_type) DO UPDATE SET
    calls = old.calls + excluded.calls, failures = old.failures + excluded.failures;

-- _WINDOW
WITH recent AS (
    SELECT * FROM worker_outcome WHERE bucket > now() - CAST(:seconds AS float8) * interval '1 second'
)
SELECT worker, task_type, extract(epoch FROM bucket)::float8, calls, failures FROM recent
WHERE task_type IN (SELECT task_type FROM recent WHERE failures > 0);

-- _SINCE
SELECT worker, task_type, extract(epoch FROM bucket)::float8, calls, failures FROM worker_outcome
    WHERE bucket > to_timestamp(:since) - CAST(:bucket AS float8) * interval '1 second';

-- _ANY_FAILED
SELECT EXISTS (SELECT FROM worker_outcome
WHERE bucket > now() - CAST(:seconds AS float8) * interval '1 second' AND failures > 0);

-- _FORGET_OLD
DELETE FROM worker_outcome WHERE (bucket, worker, task_type) IN (
SELECT bucket, worker, task_type FROM worker_outcome
    WHERE bucket < now() - CAST(:seconds AS float8) * interval '1 second'
LIMIT :most FOR UPDATE SKIP LOCKED);

-- _FORGET_OF
DELETE FROM worker_outcome WHERE (bucket, worker, task_type) IN (
SELECT bucket, worker, task_type FROM worker_outcome WHERE worker = ANY(CAST(:workers AS text[]))
LIMIT :most FOR UPDATE SKIP LOCKED);

----------------------------------------------------------------------------------------------------------------------
-- store/changes.py
-- What changed, for whoever listens: written down in the transaction of the change, while somebody does.

-- _TELL_OF_TASKS
INSERT INTO live_change (task_ids) VALUES (CAST(:ids AS uuid[]));

-- _TELL
INSERT INTO live_change (topic) SELECT CAST(:topic AS text) WHERE EXISTS (SELECT FROM live_listening
    WHERE until > now());

-- _LISTEN
INSERT INTO live_listening AS known (id, since, until)
VALUES (1, now(), now() + CAST(:seconds AS float8) * interval '1 second')
ON CONFLICT (id) DO UPDATE SET until = greatest(known.until, excluded.until),
    since = CASE WHEN known.until < now() + CAST(:lapsed AS float8) * interval '1 second' THEN now()
        ELSE known.since END
RETURNING since;

-- _FORGET
DELETE FROM live_change WHERE at < now() - CAST(:kept AS float8) * interval '1 second';

-- _WHERE
SELECT CAST(pg_current_snapshot() AS text) AS snapshot, now() AS at;

-- _SINCE
-- What committed after the snapshot that was read before: exactly what that could not see, in whatever order.
SELECT CAST(pg_current_snapshot() AS text) AS snapshot, now() AS at, c.topic, c.task_ids FROM (SELECT) AS one
LEFT JOIN (
    SELECT topic, CASE WHEN CAST(:named AS boolean) THEN task_ids END AS task_ids FROM live_change
    WHERE transaction >= CAST(:oldest AS bigint) AND NOT pg_visible_in_snapshot(
            CAST(CAST(transaction AS text) AS xid8), CAST(CAST(:snapshot AS text) AS pg_snapshot))
    ORDER BY transaction, id LIMIT :most
) AS c ON true;

----------------------------------------------------------------------------------------------------------------------
-- store/clock.py
-- The database clock, which all stored times are on.

-- _NOW
SELECT extract(epoch FROM clock_timestamp())::float8;

----------------------------------------------------------------------------------------------------------------------
-- store/errors/bounding.py
-- Which groups there are, and how many of them a task type got lately.

-- _THERE
SELECT id FROM error_group WHERE id = ANY(CAST(:ids AS uuid[]));

-- _BEGUN
-- Those of other rules leave room: what they told apart may have been one.
SELECT t.task_type, (SELECT count(*) FROM (
    SELECT FROM error_group g WHERE g.task_type = t.task_type AND g.first_seen_at > now() - interval '1 day'
        AND g.version = :version
    LIMIT :most) AS begun) AS groups
FROM unnest(CAST(:task_types AS text[])) AS t (task_type);

----------------------------------------------------------------------------------------------------------------------
-- store/errors/burying.py
-- Whoever fails for good is a dead letter, in the transaction in which it ends.

-- _BURY
WITH added AS (INSERT INTO dead_letter (task_id, task_type, error_type, queue, failed_at) SELECT task_id, task_type,
    error_type, queue, failed_at FROM unnest(CAST(:task_id AS uuid[]), CAST(:task_type AS text[]),
    CAST(:error_type AS text[]), CAST(:queue AS text[]), CAST(:failed_at AS timestamptz[])) AS rows (task_id,
    task_type, error_type, queue, failed_at) ON CONFLICT DO NOTHING RETURNING task_id, task_type, error_type, queue,
    failed_at)
INSERT INTO dead_letter_delta (task_type, error_type, queue, hour, tasks) SELECT task_type, error_type, queue,
    date_trunc('hour', failed_at, 'UTC'), count(*) FROM added GROUP BY task_type, error_type, queue,
    date_trunc('hour', failed_at, 'UTC');

-- _FOLD
-- Deltas that are inserted meanwhile have higher ids, or are not seen yet: they stay for the next pass.
WITH taken AS (
    DELETE FROM dead_letter_delta WHERE id IN (SELECT id FROM dead_letter_delta ORDER BY id LIMIT :most)
    RETURNING task_type, error_type, queue, hour, tasks
), added AS (
    INSERT INTO dead_letter_count AS old (task_type, error_type, queue, hour, tasks)
    SELECT t.task_type, t.error_type, t.queue, step.hour, sum(t.tasks) FROM taken t
        CROSS JOIN LATERAL (VALUES (t.hour), (CAST('-infinity' AS timestamptz))) AS step (hour)
    GROUP BY t.task_type, t.error_type, t.queue, step.hour
    ORDER BY t.task_type, t.error_type, t.queue, step.hour
    ON CONFLICT (task_type, error_type, queue, hour) DO UPDATE SET tasks = old.tasks + excluded.tasks
)
SELECT count(*) FROM taken;

----------------------------------------------------------------------------------------------------------------------
-- store/errors/carrying.py
-- What becomes of a group when the rules change by which failures are told apart: the group that its failures have
-- now goes on from it. It keeps its first failure and whatever was said of it, and is no news.

-- _BEFORE
SELECT g.* FROM unnest(CAST(:task_types AS text[])) AS t (task_type) CROSS JOIN LATERAL (
SELECT id, task_type, error_type, example_message, example_traceback, state, last_seen_at FROM error_group
WHERE task_type = t.task_type AND version < :version AND occurrences > 0
ORDER BY first_seen_at DESC LIMIT :most) AS g;

-- _STAY
-- These are found no more. Whoever folds them meanwhile keeps its locks, and they are found once more.
UPDATE error_group SET version = :version WHERE id IN (
SELECT id FROM error_group WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED);

-- _CARRY
-- What was counted stays with the group before: of a limit in numbers the rest is left.
UPDATE error_group g SET first_seen_at = least(g.first_seen_at, b.first_seen_at), changed_at = b.changed_at,
    news_at = NULL, came_back = b.came_back, state = b.state, set_at = b.set_at, set_by = b.set_by,
    set_reason = b.set_reason, ignored_until = b.ignored_until, ignored_per_hour = b.ignored_per_hour,
    ignored_count = b.ignored_count, ignored_from = b.ignored_from - b.occurrences
FROM unnest(CAST(:id AS uuid[]), CAST(:before AS uuid[])) AS p (id, before)
JOIN error_group b ON b.id = p.before WHERE g.id = p.id;

-- _HISTORY
INSERT INTO error_group_change (error_group, at, before, after, actor, reason)
SELECT p.id, c.at, c.before, c.after, c.actor, c.reason FROM unnest(CAST(:id AS uuid[]),
    CAST(:before AS uuid[])) AS p (id, before)
CROSS JOIN LATERAL ((
    SELECT id, at, before, after, actor, reason FROM error_group_change WHERE error_group = p.before
    ORDER BY id DESC LIMIT 50
) UNION ALL (
    SELECT NULL, now(), state, state, :actor, 'failures are told apart by other rules: it goes on from group ' || id
    FROM error_group WHERE id = p.before
)) AS c ORDER BY p.id, c.id NULLS LAST;

----------------------------------------------------------------------------------------------------------------------
-- store/errors/folding.py
-- Deltas of groups become their sums, by minute, hour and day; and what becomes of a group by it.

-- _LOCK
SELECT pg_advisory_xact_lock(hashtext('pointsman errors'));

-- _TAKE
-- Deltas that are inserted meanwhile have higher ids, or are not seen yet: they stay for the next pass.
DELETE FROM error_delta WHERE id IN (SELECT id FROM error_delta ORDER BY id LIMIT :most)
RETURNING error_group, queue, minute, occurrences, tasks, last_seen_at, example_task_id, example_attempt;

-- _ADD
INSERT INTO error_count AS old (error_group, step_seconds, since, queue, occurrences, tasks) SELECT *
    FROM unnest(CAST(:error_group AS uuid[]), CAST(:step_seconds AS integer[]), CAST(:since AS timestamptz[]),
    CAST(:queue AS text[]), CAST(:occurrences AS bigint[]), CAST(:tasks AS bigint[])) AS rows (error_group,
    step_seconds, since, queue, occurrences, tasks)
ON CONFLICT (error_group, step_seconds, since, queue) DO UPDATE SET
    occurrences = old.occurrences + excluded.occurrences, tasks = old.tasks + excluded.tasks;

-- _GROUPS
SELECT id, state, set_at, ignored_until, ignored_per_hour, ignored_count, ignored_from, occurrences,
    recent_task_ids,
    CASE WHEN ignored_per_hour IS NULL THEN 0 ELSE (
        SELECT coalesce(sum(c.occurrences), 0) FROM error_count c WHERE c.error_group = error_group.id
            AND c.step_seconds = 60 AND c.since > now() - interval '1 hour')::bigint END AS within_the_hour
FROM error_group WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE;

-- _SUMS
-- The example is the newest failure, where its rows are there still: an attempt is kept, unless none began.
UPDATE error_group g SET occurrences = g.occurrences + e.occurrences, tasks = g.tasks + e.tasks,
    last_seen_at = greatest(g.last_seen_at, e.last_seen_at), example_task_id = e.example_task_id,
    example_attempt = e.example_attempt, example_message = coalesce(a.error_message, t.error_message, ''),
    example_traceback = coalesce(a.error_traceback, t.error_traceback, ''),
    recent_task_ids = CAST(string_to_array(e.recent, ',') AS uuid[])
FROM unnest(CAST(:id AS uuid[]), CAST(:occurrences AS bigint[]), CAST(:tasks AS bigint[]),
    CAST(:last_seen_at AS timestamptz[]), CAST(:example_task_id AS uuid[]), CAST(:example_attempt AS smallint[]),
    CAST(:recent AS text[])) AS e (id, occurrences, tasks, last_seen_at, example_task_id, example_attempt, recent)
LEFT JOIN LATERAL (SELECT error_message, error_traceback FROM task_attempt
    WHERE task_id = e.example_task_id AND attempt = e.example_attempt) AS a ON true
LEFT JOIN LATERAL (SELECT error_message, error_traceback FROM task
    WHERE id = e.example_task_id AND a.error_message IS NULL) AS t ON true
WHERE g.id = e.id;

-- _OPEN_AGAIN
WITH back AS (UPDATE error_group g SET state = 'open', changed_at = e.at, news_at = e.at, came_back = true
    FROM unnest(CAST(:id AS uuid[]), CAST(:at AS timestamptz[]), CAST(:before AS text[]),
    CAST(:reason AS text[])) AS e (id, at, before, reason)
WHERE g.id = e.id RETURNING g.id, e.at, e.before, e.reason)
INSERT INTO error_group_change (error_group, at, before, after, actor, reason)
SELECT id, at, before, 'open', :actor, reason FROM back ORDER BY id;

----------------------------------------------------------------------------------------------------------------------
-- store/errors/judging.py
-- What somebody says of an error group: that it is mended, or need not be told, or is to be looked at after all.

-- _LOCK
SELECT state FROM error_group WHERE id = CAST(:id AS uuid) AND occurrences > 0 FOR UPDATE;

-- _SET
UPDATE error_group g SET state = :state, changed_at = now(), news_at = NULL, came_back = false, set_at = now(),
    set_by = :actor, set_reason = :reason, ignored_until = :until, ignored_per_hour = :per_hour,
    ignored_count = :count, ignored_from = CASE WHEN CAST(:count AS bigint) IS NOT NULL THEN g.occurrences
        + (SELECT coalesce(sum(d.occurrences), 0) FROM error_delta d WHERE d.error_group = g.id) END
WHERE g.id = CAST(:id AS uuid);

-- _REMEMBER
INSERT INTO error_group_change (error_group, before, after, actor, reason)
VALUES (CAST(:id AS uuid), :before, :after, :actor, :reason);

----------------------------------------------------------------------------------------------------------------------
-- store/errors/noting.py
-- Which failures there were, by their group: deltas written with the rows that moved, folded by a leader.

-- _ADD
INSERT INTO error_delta (error_group, queue, minute, occurrences, tasks, last_seen_at, example_task_id,
    example_attempt) SELECT * FROM unnest(CAST(:error_group AS uuid[]), CAST(:queue AS text[]),
    CAST(:minute AS timestamptz[]), CAST(:occurrences AS integer[]), CAST(:tasks AS integer[]),
    CAST(:last_seen_at AS timestamptz[]), CAST(:example_task_id AS uuid[]),
    CAST(:example_attempt AS smallint[])) AS rows (error_group, queue, minute, occurrences, tasks, last_seen_at,
    example_task_id, example_attempt);

-- _BEGIN
-- By rising id, as everybody who writes several.
INSERT INTO error_group (id, version, task_type, error_type, message, blamed, first_seen_at, last_seen_at,
    example_task_id, example_attempt, example_message, example_traceback, news_at) SELECT id, version, task_type,
    error_type, message, blamed, first_seen_at, last_seen_at, example_task_id, example_attempt, example_message,
    example_traceback, first_seen_at FROM unnest(CAST(:id AS uuid[]), CAST(:version AS smallint[]),
    CAST(:task_type AS text[]), CAST(:error_type AS text[]), CAST(:message AS text[]), CAST(:blamed AS text[]),
    CAST(:first_seen_at AS timestamptz[]), CAST(:last_seen_at AS timestamptz[]), CAST(:example_task_id AS uuid[]),
    CAST(:example_attempt AS smallint[]), CAST(:example_message AS text[]),
    CAST(:example_traceback AS text[])) AS rows (id, version, task_type, error_type, message, blamed, first_seen_at,
    last_seen_at, example_task_id, example_attempt, example_message, example_traceback) ORDER BY id
    ON CONFLICT (id) DO NOTHING RETURNING id, task_type;

----------------------------------------------------------------------------------------------------------------------
-- store/errors/reading.py
-- Error groups as readers see them. What was recorded is in them as soon as it is folded, within a second or two.

-- _ONE
SELECT g.id, g.task_type, g.error_type, g.message, g.blamed, g.first_seen_at, g.last_seen_at, g.occurrences,
    g.tasks, g.example_task_id, g.example_attempt, g.example_message, CASE WHEN g.state = 'ignored'
        AND g.ignored_until <= now() THEN 'open' ELSE g.state END AS state, g.changed_at, g.came_back,
    g.news_at, g.set_at, g.set_by, g.set_reason, g.ignored_until, g.ignored_per_hour, g.ignored_count,
    g.ignored_from, now() AS read_at, g.example_traceback, g.recent_task_ids FROM error_group g
WHERE g.id = CAST(:id AS uuid) AND g.occurrences > 0;

-- _COUNTS
SELECT c.error_group, c.since, sum(c.occurrences)::bigint AS occurrences, sum(c.tasks)::bigint AS tasks
FROM error_count c WHERE c.error_group = ANY(CAST(:ids AS uuid[])) AND c.step_seconds = :step
    AND c.since >= :since AND (CAST(:queue AS text) IS NULL OR c.queue = :queue)
GROUP BY c.error_group, c.since;

-- _CHANGES
SELECT at, before, after, actor, reason FROM error_group_change WHERE error_group = CAST(:id AS uuid)
ORDER BY id DESC LIMIT :most;

-- _TASKS
SELECT id, state, queue, attempt, finished_at FROM task WHERE id = ANY(CAST(:ids AS uuid[]))
UNION ALL SELECT id, state, queue, attempt, NULL FROM task_live WHERE id = ANY(CAST(:ids AS uuid[]))
ORDER BY id DESC;

-- page_of (changed)
SELECT g.id, g.task_type, g.error_type, g.message, g.blamed, g.first_seen_at, g.last_seen_at, g.occurrences,
    g.tasks, g.example_task_id, g.example_attempt, g.example_message, CASE WHEN g.state = 'ignored'
        AND g.ignored_until <= now() THEN 'open' ELSE g.state END AS state, g.changed_at, g.came_back,
    g.news_at, g.set_at, g.set_by, g.set_reason, g.ignored_until, g.ignored_per_hour, g.ignored_count,
    g.ignored_from, now() AS read_at, (extract(epoch FROM g.changed_at) * 1000000)::bigint AS place FROM error_group g
        WHERE g.occurrences > 0 AND g.last_seen_at >= :since
ORDER BY g.changed_at DESC, g.id DESC LIMIT :most;

-- page_of (changed, by all that is asked)
SELECT g.id, g.task_type, g.error_type, g.message, g.blamed, g.first_seen_at, g.last_seen_at, g.occurrences,
    g.tasks, g.example_task_id, g.example_attempt, g.example_message, CASE WHEN g.state = 'ignored'
        AND g.ignored_until <= now() THEN 'open' ELSE g.state END AS state, g.changed_at, g.came_back,
    g.news_at, g.set_at, g.set_by, g.set_reason, g.ignored_until, g.ignored_per_hour, g.ignored_count,
    g.ignored_from, now() AS read_at, (extract(epoch FROM g.changed_at) * 1000000)::bigint AS place FROM error_group g
        WHERE g.occurrences > 0 AND g.last_seen_at >= :since AND g.task_type = :task_type
        AND g.error_type = :error_type AND CASE WHEN g.state = 'ignored' AND g.ignored_until <= now() THEN 'open'
        ELSE g.state END = :state AND EXISTS (SELECT FROM error_count c WHERE c.error_group = g.id
        AND c.step_seconds = :step AND c.since >= :since AND c.queue = :queue) AND (g.changed_at,
        g.id) < (to_timestamp(0) + CAST(:place AS bigint) * interval '1 microsecond', CAST(:after AS uuid))
ORDER BY g.changed_at DESC, g.id DESC LIMIT :most;

-- page_of (most, by all that is asked)
WITH counted AS (
    SELECT c.error_group, sum(c.occurrences)::bigint AS place FROM error_count c
    WHERE c.step_seconds = :step AND c.since >= :since AND c.queue = :queue GROUP BY c.error_group
)
SELECT g.id, g.task_type, g.error_type, g.message, g.blamed, g.first_seen_at, g.last_seen_at, g.occurrences,
    g.tasks, g.example_task_id, g.example_attempt, g.example_message, CASE WHEN g.state = 'ignored'
        AND g.ignored_until <= now() THEN 'open' ELSE g.state END AS state, g.changed_at, g.came_back,
    g.news_at, g.set_at, g.set_by, g.set_reason, g.ignored_until, g.ignored_per_hour, g.ignored_count,
    g.ignored_from, now() AS read_at, counted.place FROM error_group g JOIN counted ON counted.error_group = g.id
        WHERE g.occurrences > 0 AND g.last_seen_at >= :since AND g.task_type = :task_type
        AND g.error_type = :error_type AND CASE WHEN g.state = 'ignored' AND g.ignored_until <= now() THEN 'open'
        ELSE g.state END = :state AND (counted.place, g.id) < (CAST(:place AS bigint), CAST(:after AS uuid))
ORDER BY counted.place DESC, g.id DESC LIMIT :most;

----------------------------------------------------------------------------------------------------------------------
-- store/first_page/beside.py
-- What is told beside a cause, in one statement.

-- _AROUND
SELECT (SELECT coalesce(json_agg(q), '[]') FROM (
        WITH RECURSIVE types AS (
            SELECT r.reason, f.task_type, 1 AS number
            FROM unnest(CAST(:reasons AS text[])) AS r (reason) CROSS JOIN LATERAL (
                SELECT t.task_type FROM task_live t WHERE t.place = 'held' AND t.held_reason = r.reason
                ORDER BY t.task_type, t.queue LIMIT 1) AS f
            UNION ALL
            SELECT p.reason, f.task_type, p.number + 1 FROM types p CROSS JOIN LATERAL (
                SELECT t.task_type FROM task_live t WHERE t.place = 'held' AND t.held_reason = p.reason
                    AND t.task_type > p.task_type
                ORDER BY t.task_type, t.queue LIMIT 1) AS f WHERE p.number < 5
        )
        SELECT p.reason, p.task_type, c.tasks, c.since FROM types p CROSS JOIN LATERAL (
            SELECT count(*)::int AS tasks, min(held_at) AS since FROM (
                SELECT t.held_at FROM task_live t
                WHERE t.place = 'held' AND t.held_reason = p.reason AND t.task_type BETWEEN p.task_type
                    AND p.task_type
                ORDER BY t.task_type, t.queue LIMIT 500) AS first_ones) AS c) AS q)::text AS held,
    (SELECT coalesce(json_agg(q), '[]') FROM (
        SELECT * FROM (
            SELECT g.id, g.task_type, g.error_type, g.message, g.blamed, n.is_new, n.is_back, c.count,
                row_number() OVER (ORDER BY n.is_new OR n.is_back DESC, c.count DESC, g.id) AS place,
                row_number() OVER (PARTITION BY g.blamed ORDER BY c.count DESC, g.id) AS of_blamed,
                row_number() OVER (PARTITION BY g.task_type ORDER BY c.count DESC, g.id) AS of_type,
                g.first_seen_at, g.changed_at, g.last_seen_at, g.example_task_id,
                left(g.example_message, 500) AS example_message,
                right(g.example_traceback, 4000) AS traceback
            FROM (SELECT error_group, sum(occurrences)::bigint AS count FROM error_count
                WHERE step_seconds = 60 AND since >= now() - interval '1 hour' GROUP BY error_group) AS c
            JOIN error_group g ON g.id = c.error_group CROSS JOIN LATERAL (
                SELECT g.state = 'open' AND g.set_at IS NULL AND g.first_seen_at > now() - interval '1 day' AS is_new,
                    g.state = 'open' AND g.came_back AS is_back) AS n
            WHERE g.occurrences > 0 AND g.state <> 'ignored'
        ) AS ranked
        WHERE place <= 8 OR (of_blamed = 1 AND blamed = ANY(CAST(:blamed AS text[])))
            OR (of_type = 1 AND task_type = ANY(CAST(:task_types AS text[])))
        ORDER BY place) AS q)::text AS groups,
    (SELECT coalesce(json_agg(q), '[]') FROM (
        SELECT task_type, sum(executions)::bigint AS executions, sum(failed)::bigint AS failed,
            sum(succeeded)::bigint AS succeeded
        FROM (
            SELECT task_type, executions, failed, succeeded FROM task_metrics
                WHERE minute > now() - interval '15 minutes' AND task_type = ANY(CAST(:task_types AS text[]))
            UNION ALL SELECT task_type, executions, failed, succeeded FROM task_metrics_delta
                WHERE minute > now() - interval '15 minutes' AND task_type = ANY(CAST(:task_types AS text[]))
        ) AS counted GROUP BY task_type) AS q)::text AS runs,
    (SELECT coalesce(json_agg(q), '[]') FROM (
        SELECT min(first_published_at) AS at,
            coalesce((array_agg(name ORDER BY name) FILTER (WHERE NOT is_first))[1:20], '{}') AS task_types,
            count(*) FILTER (WHERE NOT is_first)::int AS new_versions,
            coalesce((array_agg(name ORDER BY name) FILTER (WHERE is_first))[1:20], '{}') AS new_types,
            count(*) FILTER (WHERE is_first)::int AS new_types_in_all
        FROM (
            SELECT t.name, t.first_published_at, NOT EXISTS (SELECT FROM task_type o
                WHERE o.name = t.name AND o.first_published_at < t.first_published_at) AS is_first
            FROM task_type t WHERE t.first_published_at > now() - interval '1 day'
        ) AS fresh GROUP BY date_bin('10 seconds', first_published_at, timestamptz '2000-01-01 00:00+00')
        ORDER BY 1 DESC LIMIT 12) AS q)::text AS versions,
    (SELECT coalesce(json_agg(q), '[]') FROM (
        SELECT a.at, a.act, a.subject, a.actor, a.reason, CASE
            WHEN a.act IN ('resolve_error', 'ignore_error', 'reopen_error') THEN
                (SELECT left(concat_ws(': ', nullif(split_part(g.error_type, '.', -1), ''), nullif(g.message, '')),
                    120)
                    || ' of ' || g.task_type FROM error_group g WHERE g.id = a.subject::uuid)
            WHEN a.act IN ('acknowledge_alert', 'unacknowledge_alert', 'silence_alert', 'unsilence_alert') THEN
                (SELECT left(l.summary, 120) FROM alert l WHERE l.id = a.subject::uuid)
            WHEN a.act IN ('cancel_tasks', 'retry_tasks', 'stop_task_act', 'undo_task_act',
                'replay_dead_letters') THEN
                (SELECT r.tasks::text FROM replay r WHERE r.id = a.subject::uuid)
            END AS about
        FROM (
    SELECT at, act, subject, actor, reason FROM audit
    WHERE at > now() - interval '1 day' AND NOT (act IN ('cancel_task', 'change_task', 'retry_task', 'share_task'))
        AND act NOT IN ('sign_in', 'sign_out')
    ORDER BY at DESC LIMIT 12
) AS a ORDER BY a.at DESC) AS q)::text AS changes,
    (SELECT coalesce(json_agg(q), '[]') FROM (SELECT id, task_type, started_at, progress FROM task_live
        WHERE id = ANY(CAST(:run_ids AS uuid[]))) AS q)::text AS running,
    (SELECT coalesce(json_agg(q), '[]') FROM (
        SELECT q.queue, s.looked_at, s.task_type, s.of_type, g.tag, coalesce(g.tagged, 0) AS tagged,
            s.submitted_from, s.submitted_to
        FROM unnest(CAST(:queues AS text[])) AS q (queue)
        CROSS JOIN LATERAL (
            SELECT count(*)::int AS looked_at, mode() WITHIN GROUP (ORDER BY t.task_type) AS task_type,
                min(t.submitted_at) AS submitted_from, max(t.submitted_at) AS submitted_to,
                array_agg(t.task_type) AS types, array_agg(t.tags) AS tags
            FROM (
                SELECT w.task_type, w.tags, w.submitted_at
                FROM generate_series(0, 10) AS p (priority) CROSS JOIN LATERAL (
                    SELECT t.task_type, t.tags, t.submitted_at FROM task_live t
                    WHERE t.place = 'waiting' AND t.queue = q.queue AND t.priority = p.priority
                    ORDER BY t.due_at LIMIT 500) AS w LIMIT 500
            ) AS t
        ) AS first_ones
        CROSS JOIN LATERAL (SELECT first_ones.looked_at, first_ones.task_type, first_ones.submitted_from,
            first_ones.submitted_to, (SELECT count(*)::int FROM unnest(first_ones.types) AS u (name)
                WHERE u.name = first_ones.task_type) AS of_type) AS s
        LEFT JOIN LATERAL (
            SELECT e.key || ':' || e.value AS tag, count(*)::int AS tagged
            FROM unnest(first_ones.tags) AS u (tags) CROSS JOIN LATERAL jsonb_each_text(u.tags) AS e (key, value)
            GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1
        ) AS g ON true
        WHERE s.looked_at > 0) AS q)::text AS waits,
    (SELECT coalesce(json_agg(q), '[]') FROM (
        SELECT queue, extract(epoch FROM now() - s.since)::float8 AS seconds, sum(submitted)::bigint AS submitted,
            sum(executions - native)::bigint AS executions
        FROM (SELECT date_trunc('minute', now() - interval '5 minutes') AS since) AS s CROSS JOIN LATERAL (
            SELECT queue, submitted, executions, native FROM task_metrics WHERE minute >= s.since
            UNION ALL SELECT queue, submitted, executions, native FROM task_metrics_delta WHERE minute >= s.since
        ) AS counted GROUP BY 1, 2) AS q)::text AS flow,
    (SELECT coalesce(json_agg(q), '[]') FROM (
        SELECT queue, figure, round(extract(epoch FROM date_trunc('minute', now()) - at) / 60)::int AS ago,
            total / samples AS rate
        FROM queue_metrics WHERE step_seconds = 60 AND figure IN ('arrival_rate', 'service_rate') AND samples > 0
            AND at >= date_trunc('minute', now()) - interval '15 minutes') AS q)::text AS minutes,
    (SELECT coalesce(json_agg(q), '[]') FROM (
        SELECT u.name AS task_type, w.name, w.last_seen_at, coalesce(w.published_at, t.at) AS published_at
        FROM unnest(CAST(:unknown AS text[])) AS u (name)
        LEFT JOIN LATERAL (
            SELECT p.name, p.last_seen_at, c.published_at FROM worker_catalogue c LEFT JOIN worker p USING (owner)
            WHERE c.content_hashes && ARRAY(SELECT content_hash FROM task_type WHERE name = u.name)
            ORDER BY c.published_at DESC LIMIT 1
        ) AS w ON true
        LEFT JOIN LATERAL (SELECT max(last_published_at) AS at FROM task_type WHERE name = u.name) AS t ON true
        WHERE coalesce(w.published_at, t.at) IS NOT NULL) AS q)::text AS publishers;

----------------------------------------------------------------------------------------------------------------------
-- store/first_page/moving.py
-- What changes from moment to moment, in one statement.

-- _LOOK
SELECT coalesce(to_json(now()), 'null')::text AS now,
    coalesce(to_json((SELECT max(epoch) FROM broker_epoch)), 'null')::text AS epoch,
    coalesce(to_json((SELECT opened_at FROM broker_epoch ORDER BY epoch DESC LIMIT 1)),
        'null')::text AS epoch_opened_at,
    coalesce(to_json((SELECT count(*) FROM (SELECT FROM breaker b WHERE b.seen IN ('open', 'half_open', 'forced_open')
            AND NOT (coalesce(b.seen = 'half_open' AND (b.machine ->> 'is_doubted')::boolean
        AND b.machine ->> 'resumes_at' IS NULL, false) AND b.updated_at > now() - interval '10 seconds')
            LIMIT 501) AS first_ones)), 'null')::text AS breakers_in_all,
    (SELECT coalesce(json_agg(q), '[]') FROM (
    SELECT alert.id, alert.key, alert.rule, alert.subject, alert.severity, alert.summary, alert.value, alert.bound,
        alert.unit, alert.link, alert.since, alert.opened_at, alert.updated_at, alert.resolved_at, alert.notified_at,
        alert.acked_at, alert.acked_by, alert.ack_reason, alert.also, alert.part_of, (SELECT max(s.until)
        FROM alert_silence s WHERE s.until > now() AND s.matcher IN (alert.key, alert.rule)) AS silenced_until
        FROM alert
    WHERE resolved_at IS NULL OR (part_of IS NULL AND rule = ANY(CAST(:causes AS text[]))
        AND resolved_at > now() - CAST(:lately AS float8) * interval '1 second')
    ORDER BY resolved_at IS NOT NULL, id LIMIT :most
) AS q)::text AS alerts,
    (SELECT coalesce(json_agg(q), '[]') FROM (
        SELECT b.scope, b.name, b.seen, coalesce((SELECT t.at FROM breaker_transition t
            WHERE t.scope = b.scope AND t.name = b.name AND t.before IN ('closed', 'disabled')
            ORDER BY t.id DESC LIMIT 1), b.updated_at) AS since, CASE b.seen WHEN 'open' THEN b.turns_at
    WHEN 'forced_open' THEN CASE WHEN b.machine -> 'override' ->> 'expires_at' IS NOT NULL THEN greatest(
        to_timestamp((b.machine -> 'override' ->> 'expires_at')::float8),
        CASE b.machine ->> 'state' WHEN 'open' THEN to_timestamp((b.machine ->> 'retry_at')::float8) END) END
END AS lets_through_at, b.last_error,
            b.machine -> 'override' AS override
        FROM breaker b WHERE b.seen IN ('open', 'half_open', 'forced_open')
            AND NOT (coalesce(b.seen = 'half_open' AND (b.machine ->> 'is_doubted')::boolean
        AND b.machine ->> 'resumes_at' IS NULL, false) AND b.updated_at > now() - interval '10 seconds')
            ORDER BY b.scope, b.name LIMIT 50) AS q)::text AS breakers,
    (SELECT coalesce(json_agg(q), '[]') FROM (SELECT queue, paused, revision, reason, actor, changed_at
        FROM queue_pause ORDER BY queue) AS q)::text AS pauses,
    (SELECT coalesce(json_agg(q), '[]') FROM (SELECT name, extract(epoch
        FROM expires_at - now())::float8 AS left_seconds, holder = '' AS given_up FROM leader) AS q)::text AS leads,
    (SELECT coalesce(json_agg(q), '[]') FROM (SELECT stream, last_id FROM recorder_position) AS q)::text AS positions,
    (SELECT coalesce(json_agg(q), '[]') FROM (
    WITH kept AS (
        SELECT queue, state, held_reason, sum(tasks)::bigint AS tasks FROM (
            SELECT queue, state, held_reason, tasks FROM backlog
            UNION ALL SELECT queue, state, held_reason, tasks FROM backlog_delta
            UNION ALL SELECT queue, 'queued', '', born_waiting FROM task_metrics_delta WHERE born_waiting > 0
            UNION ALL SELECT queue, 'scheduled', '', born_asleep FROM task_metrics_delta WHERE born_asleep > 0
        ) AS numbers GROUP BY queue, state, held_reason
), sent AS (
        SELECT queue, state, count(*) AS tasks, min(due_at) AS oldest FROM task_live WHERE place = 'sent'
        GROUP BY queue, state
    )
    SELECT k.queue, k.state, nullif(k.held_reason, '') AS held_reason, k.tasks, false AS sent,
        CASE WHEN k.state = 'queued' THEN (
            SELECT greatest(0, extract(epoch FROM now() - min(t.due_at)))::float8
            FROM generate_series(0, 10) AS p (priority) CROSS JOIN LATERAL (
                SELECT t.due_at FROM task_live t
                WHERE t.place = 'waiting' AND t.queue = k.queue AND t.priority = p.priority ORDER BY t.due_at LIMIT 1
            ) AS t
        ) END AS oldest_seconds
    FROM kept k WHERE k.tasks > 0
    UNION ALL
    SELECT s.queue, s.state, NULL, s.tasks, true, greatest(0, extract(epoch FROM now() - s.oldest))::float8
        FROM sent s
) AS q)::text AS backlog,
    (SELECT coalesce(json_agg(q), '[]') FROM (
    SELECT owner, name, pool, queues, processes, pid, host, contract, started_at,
        greatest(0, extract(epoch FROM now() - last_seen_at))::float8 AS heartbeat_age_seconds
    FROM worker WHERE last_seen_at > now() - CAST(:seen_within AS float8) * interval '1 second'
    ORDER BY name, started_at
) AS q)::text AS workers,
    (SELECT coalesce(json_agg(q), '[]') FROM (
    SELECT b.name, b.seen, extract(epoch FROM coalesce(t.at, b.updated_at))::float8 AS since,
        coalesce(b.machine->'override'->>'reason', t.reason, '') AS reason,
        coalesce(b.machine->'override'->>'actor', t.actor, '') AS actor,
        CASE b.seen WHEN 'open' THEN (b.machine->>'retry_at')::float8
            WHEN 'half_open' THEN NULL ELSE (b.machine->'override'->>'expires_at')::float8 END AS until
    FROM breaker b LEFT JOIN LATERAL (
        SELECT at, reason, actor FROM breaker_transition t WHERE t.scope = b.scope AND t.name = b.name
        ORDER BY t.id DESC LIMIT 1
    ) t ON true
    WHERE b.scope = 'worker' AND b.seen <> 'closed' ORDER BY b.name
) AS q)::text AS ejections;

----------------------------------------------------------------------------------------------------------------------
-- store/leadership.py
-- Who runs loops that need to run once: a row with a time to live on the database clock, and a lock that ends with
-- its holder.

-- _ENTER
SELECT pg_advisory_lock(hashtextextended(:holder, 0));

-- _FREE
-- Whose lock can be had is gone: its connection has ended, long before its lead runs out.
SELECT NOT EXISTS (
    SELECT FROM leader WHERE name = :name AND NOT holder = ANY(CAST(:ours AS text[])) AND expires_at >= now()
        AND NOT pg_try_advisory_xact_lock_shared(hashtextextended(holder, 0))
);

-- _TAKE
INSERT INTO leader AS old (name, holder, expires_at)
VALUES (:name, :holder, now() + CAST(:ttl AS float8) * interval '1 second')
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at
WHERE old.holder = ANY(CAST(:ours AS text[])) OR old.expires_at < now()
    OR pg_try_advisory_xact_lock_shared(hashtextextended(old.holder, 0))
RETURNING name;

-- _YIELD
-- Without a holder: a process that ended in order is told from one that died.
UPDATE leader SET expires_at = now(), holder = '' WHERE name = :name AND holder = ANY(CAST(:ours AS text[]));

-- _HELD
SELECT EXISTS (SELECT FROM leader WHERE name = :name AND expires_at >= now());

-- _HOLDERS
-- A lock on a number of 64 bits stands there as its two halves.
SELECT l.name, l.holder, extract(epoch FROM l.expires_at - now())::float8 AS left_seconds, a.application_name,
    extract(epoch FROM now() - a.backend_start)::float8 AS connected_seconds, k.pid IS NOT NULL AS is_there
FROM leader l
LEFT JOIN pg_locks k ON k.locktype = 'advisory' AND k.objsubid = 1 AND k.granted AND k.mode = 'ExclusiveLock'
    AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (k.classid::bigint << 32 | k.objid::bigint) = hashtextextended(l.holder, 0)
LEFT JOIN pg_stat_activity a ON a.pid = k.pid;

----------------------------------------------------------------------------------------------------------------------
-- store/lost/missing.py
-- Sent tasks whose message has left its list: fetched, running, finished and not recorded yet, or lost.

-- _LOWEST
SELECT l.queue, l.priority, extract(epoch FROM t.sent_at)::float8 AS sent_at FROM unnest(CAST(:queue AS text[]),
    CAST(:priority AS smallint[]), CAST(:since AS float8[]), CAST(:before AS float8[])) AS l (queue, priority, since,
    before) CROSS JOIN LATERAL (SELECT sent_at FROM task_live WHERE place = 'sent' AND queue = l.queue
    AND priority = l.priority AND sent_at >= to_timestamp(l.since) ORDER BY sent_at LIMIT 1) AS t;

-- _UNSTARTED
SELECT t.* FROM unnest(CAST(:queue AS text[]), CAST(:priority AS smallint[]), CAST(:since AS float8[]),
    CAST(:before AS float8[])) AS l (queue, priority, since, before)
CROSS JOIN LATERAL (
    SELECT id, attempt, dispatch, queue, worker, sent_epoch, extract(epoch FROM sent_at)::float8 AS sent_at
    FROM task_live
    WHERE place = 'sent' AND queue = l.queue AND priority = l.priority AND sent_at >= to_timestamp(l.since)
        AND sent_at < to_timestamp(l.before) AND state = 'queued' AND sent_epoch <= :epoch
    ORDER BY task_live.sent_at LIMIT :most
) AS t;

-- _RUNNING
SELECT t.* FROM unnest(CAST(:queue AS text[]), CAST(:priority AS smallint[]), CAST(:since AS float8[]),
    CAST(:before AS float8[])) AS l (queue, priority, since, before)
CROSS JOIN LATERAL (
    SELECT id, attempt, dispatch, queue, worker, sent_epoch, extract(epoch FROM sent_at)::float8 AS sent_at
    FROM task_live
    WHERE place = 'sent' AND queue = l.queue AND priority = l.priority AND sent_at >= to_timestamp(l.since)
        AND sent_at < to_timestamp(l.before) AND state = 'running'
    ORDER BY task_live.sent_at LIMIT :most
) AS t;

-- _OVER
SELECT e.id, e.dispatch FROM unnest(CAST(:id AS uuid[]), CAST(:dispatch AS integer[])) AS e (id, dispatch)
LEFT JOIN task_live t ON t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]))
WHERE t.id IS NULL OR t.dispatch > e.dispatch OR t.place <> 'sent';

-- _UNFINISHED
SELECT id FROM task_live WHERE id = ANY(CAST(:id AS uuid[]));

----------------------------------------------------------------------------------------------------------------------
-- store/lost/rescuing.py
-- Attempts that ended with their worker: their rows wait again, or end when that happened too often.

-- _OF_WORKERS
SELECT id, attempt, worker FROM task_live
WHERE place = 'sent' AND state = 'running' AND worker = ANY(CAST(:workers AS text[])) LIMIT :most;

-- _LOCK
SELECT t.id, t.attempt, t.interrupted_in_a_row >= :most_in_a_row
    AND NOT t.worker = ANY(CAST(:stopped AS text[])) AS last FROM task_live t JOIN unnest(CAST(:id AS uuid[]),
    CAST(:attempt AS smallint[])) AS e (id, attempt) USING (id)
WHERE t.id = ANY(CAST(:id AS uuid[])) AND t.state = 'running' AND t.attempt = e.attempt
ORDER BY t.id FOR UPDATE OF t;

-- _INTERRUPT
-- ``due_at`` stays: a task that lost its worker goes before those that became due later.
WITH interrupted AS (UPDATE task_live t SET interruptions = t.interruptions + 1, progress = NULL,
    interrupted_in_a_row = t.interrupted_in_a_row + CASE WHEN t.worker = ANY(CAST(:stopped AS text[])) THEN 0
        ELSE 1 END,
    state = CASE WHEN t.interrupted_in_a_row = :most_in_a_row - 1
        AND NOT t.worker = ANY(CAST(:stopped AS text[])) THEN 'held' ELSE 'queued' END,
    place = CASE WHEN t.interrupted_in_a_row = :most_in_a_row - 1
        AND NOT t.worker = ANY(CAST(:stopped AS text[])) THEN 'held' ELSE 'waiting' END,
    held_reason = CASE WHEN t.interrupted_in_a_row = :most_in_a_row - 1
        AND NOT t.worker = ANY(CAST(:stopped AS text[])) THEN :quarantine END,
    held_at = CASE WHEN t.interrupted_in_a_row = :most_in_a_row - 1
        AND NOT t.worker = ANY(CAST(:stopped AS text[])) THEN now() END,
    sla_met = coalesce(t.sla_met, CASE WHEN t.attempt = 1
    THEN extract(epoch FROM t.started_at - t.due_at) - t.held_wait_seconds <= t.sla_seconds END)
WHERE t.id = ANY(CAST(:id AS uuid[]))
RETURNING t.id, t.task_type, t.queue, t.attempt, t.worker, t.started_at, now() AS at, t.state, t.caller
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM interrupted WHERE EXISTS (SELECT
    FROM live_listening WHERE until > now()) HAVING count(*) > 0)
SELECT * FROM interrupted;

-- _STOP
-- Not among the interruptions in a row: that somebody stopped its node says nothing against a task.
UPDATE task_live t SET state = 'queued', place = 'waiting', progress = NULL, interruptions = t.interruptions + 1,
    sla_met = coalesce(t.sla_met, CASE WHEN t.attempt = 1
    THEN extract(epoch FROM t.started_at - t.due_at) - t.held_wait_seconds <= t.sla_seconds END)
FROM unnest(CAST(:id AS uuid[]), CAST(:attempt AS smallint[])) AS e (id, attempt)
WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[])) AND t.state = 'running' AND t.attempt = e.attempt
RETURNING t.id, t.task_type, t.queue, false AS first_seen, t.attempt,
    CAST(NULL AS float8) AS queue_wait_seconds, CAST(NULL AS boolean) AS sla_met, t.state, t.caller;

----------------------------------------------------------------------------------------------------------------------
-- store/lost/unclaimed.py
-- Sendings of tasks that no worker claimed: the task is sent again, but not for ever.

-- _TAKE_BACK
-- Of the sending that was told of: a newer one may be about to run.
WITH lost AS (SELECT e.* FROM task_live t JOIN unnest(CAST(:id AS uuid[]), CAST(:dispatch AS integer[]),
    CAST(:weight AS real[]), CAST(:reason AS text[])) AS e (id, dispatch, weight, reason) USING (id)
    WHERE t.id = ANY(CAST(:id AS uuid[])) AND t.place = 'sent' AND t.state = 'queued' AND t.dispatch = e.dispatch
    ORDER BY t.id FOR UPDATE OF t
), taken_back AS (UPDATE task_live t SET
    unclaimed = t.unclaimed + l.weight,
    unclaimed_reason = coalesce(l.reason, t.unclaimed_reason),
    state = CASE WHEN t.unclaimed + l.weight >= :most THEN 'held' ELSE 'queued' END,
    place = CASE WHEN t.unclaimed + l.weight >= :most THEN 'held' ELSE 'waiting' END,
    held_reason = CASE WHEN t.unclaimed + l.weight >= :most THEN 'unclaimed' END,
    held_at = CASE WHEN t.unclaimed + l.weight >= :most THEN now() END
FROM lost l WHERE t.id = l.id AND t.id = ANY(CAST(:id AS uuid[]))
RETURNING t.id, t.dispatch
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM taken_back WHERE EXISTS (SELECT
    FROM live_listening WHERE until > now()) HAVING count(*) > 0)
SELECT id, dispatch FROM taken_back;

-- _SPENT
SELECT id, attempt FROM task_live
WHERE place = 'held' AND held_reason = 'unclaimed' AND cancel_requested_at IS NULL LIMIT :most;

-- _FAIL
-- The first attempt did not start in time, whenever another does.
WITH spent AS (SELECT t.id, t.sla_met, t.unclaimed_reason FROM task_live t JOIN unnest(CAST(:id AS uuid[]),
    CAST(:attempt AS smallint[])) AS e (id, attempt) USING (id)
    WHERE t.id = ANY(CAST(:id AS uuid[])) AND t.place = 'held' AND t.held_reason = 'unclaimed'
        AND t.attempt = e.attempt AND t.cancel_requested_at IS NULL
    ORDER BY t.id FOR UPDATE OF t
), failed AS (UPDATE task_live t SET
    state = 'retrying', place = 'asleep', due_at = now(), attempt = t.attempt + 1, progress = NULL,
    held_reason = NULL, held_at = NULL, held_seconds = t.held_seconds + CASE WHEN t.held_at IS NULL THEN 0
        ELSE greatest(0, extract(epoch FROM now() - t.held_at)::float8) END,
    held_wait_seconds = 0, unclaimed = 0, unclaimed_reason = NULL,
    sla_met = coalesce(t.sla_met, CASE WHEN t.attempt = 0 THEN false END)
FROM spent s WHERE t.id = s.id AND t.id = ANY(CAST(:id AS uuid[]))
RETURNING t.id, t.task_type, t.queue, t.attempt, t.sent_at, now() AS at,
    t.attempt - t.interruptions AS tries, t.attempt - t.interruptions < t.max_attempts AS is_followed, t.state,
    t.caller,
    s.sla_met IS NULL AND t.sla_met IS NOT NULL AS has_missed, s.unclaimed_reason AS reason
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM failed WHERE EXISTS (SELECT
    FROM live_listening WHERE until > now()) HAVING count(*) > 0)
SELECT * FROM failed;

-- _RETRY
UPDATE task_live t SET due_at = e.at FROM unnest(CAST(:id AS uuid[]), CAST(:at AS timestamptz[])) AS e (id, at)
    WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]));

----------------------------------------------------------------------------------------------------------------------
-- store/metrics/carrying.py
-- Hours and days of what was counted before they were kept: made of the minutes, the newest day first, a day at a
-- time.

-- _LOCK
-- The others make the trigger let us take deltas, and those of predictions too.
SELECT pg_advisory_xact_lock(hashtext('pointsman rollup')), set_config('pointsman.folds', 'days', true),
set_config('pointsman.counts', 'predictions', true);

-- _MADE
INSERT INTO task_metrics_kept DEFAULT VALUES ON CONFLICT DO NOTHING;

-- _STATE
SELECT minutes_since, hours_since, days_since, carried_to, began_at, clock_timestamp() AS now,
    coalesce(folded_at < clock_timestamp() - interval '10 seconds', true) AS is_stale
FROM task_metrics_kept;

-- _FOLDS
UPDATE task_metrics_kept SET folded_at = clock_timestamp(), began_at = coalesce(began_at, clock_timestamp());

-- _OLDEST
SELECT min(minute) AS first, max(minute) AS last FROM task_metrics;

-- _BEGIN
UPDATE task_metrics_kept SET minutes_since = :minutes_since, hours_since = :hours_since, carried_to = :carried_to;

-- _NEXT
SELECT max(minute) FROM task_metrics WHERE minute < :carried_to AND minute >= :minutes_since;

-- _CARRIED
-- Who wrote minutes meanwhile has noted that all is to be carried again; that stays.
UPDATE task_metrics_kept SET carried_to = :day WHERE carried_to IS NOT NULL;

-- _DROP_HOURS
DELETE FROM task_metrics_hour WHERE hour >= CAST(:since AS timestamptz) AND hour < CAST(:before AS timestamptz);

-- _DROP_DAYS
DELETE FROM task_metrics_day WHERE day >= CAST(:since AS timestamptz) AND day < CAST(:before AS timestamptz);

-- _HOURS_OF_MINUTES
INSERT INTO task_metrics_hour (hour, task_type, queue, submitted, started, executions, succeeded, failed, cancelled,
    expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded, native_failed,
    native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running,
    held_seconds_sum, predicted, kept, kept_p50, run_buckets, run_counts, wait_buckets,
    wait_counts) WITH counted AS MATERIALIZED (SELECT date_trunc('hour', minute, 'UTC') AS hour, task_type, queue,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics
    WHERE minute >= CAST(:since AS timestamptz) AND minute < CAST(:before AS timestamptz)),
totals AS (SELECT hour, task_type, queue, sum(submitted)::bigint AS submitted, sum(started)::bigint AS started,
    sum(executions)::bigint AS executions, sum(succeeded)::bigint AS succeeded, sum(failed)::bigint AS failed,
    sum(cancelled)::bigint AS cancelled, sum(expired)::bigint AS expired, sum(retried)::bigint AS retried,
    sum(timed_out)::bigint AS timed_out, sum(interrupted)::bigint AS interrupted,
    sum(uncertain_sendings)::bigint AS uncertain_sendings, sum(duplicates)::bigint AS duplicates,
    sum(native)::bigint AS native, sum(native_succeeded)::bigint AS native_succeeded,
    sum(native_failed)::bigint AS native_failed, sum(native_retried)::bigint AS native_retried,
    sum(sla_met)::bigint AS sla_met, sum(sla_missed)::bigint AS sla_missed, sum(run_seconds_sum) AS run_seconds_sum,
    sum(queue_wait_seconds_sum) AS queue_wait_seconds_sum, sum(held)::bigint AS held, sum(rescued)::bigint AS rescued,
    sum(cancelled_running)::bigint AS cancelled_running, sum(held_seconds_sum) AS held_seconds_sum,
    sum(predicted)::bigint AS predicted, sum(kept)::bigint AS kept, sum(kept_p50)::bigint AS kept_p50 FROM counted
    GROUP BY hour, task_type, queue),
by_bucket AS (SELECT hour, task_type, queue, code, sum(n) AS n FROM (SELECT hour, task_type, queue,
    bucket + 0 AS code, n FROM counted CROSS JOIN LATERAL unnest(run_buckets, run_counts) AS pairs (bucket,
    n) UNION ALL SELECT hour, task_type, queue, bucket + 100000 AS code, n FROM counted CROSS
    JOIN LATERAL unnest(wait_buckets, wait_counts) AS pairs (bucket, n)) AS observed GROUP BY hour, task_type, queue,
    code),
histograms AS (SELECT hour, task_type, queue, array_agg(code - 0
    ORDER BY code) FILTER (WHERE code < 50000) AS run_buckets, array_agg(n
    ORDER BY code) FILTER (WHERE code < 50000) AS run_counts, array_agg(code - 100000
    ORDER BY code) FILTER (WHERE code >= 50000) AS wait_buckets, array_agg(n
    ORDER BY code) FILTER (WHERE code >= 50000) AS wait_counts FROM by_bucket GROUP BY hour, task_type, queue)
SELECT t.*, coalesce(h.run_buckets, '{}') AS run_buckets, coalesce(h.run_counts, '{}') AS run_counts,
    coalesce(h.wait_buckets, '{}') AS wait_buckets, coalesce(h.wait_counts, '{}') AS wait_counts FROM totals t LEFT
    JOIN histograms h USING (hour, task_type, queue);

-- _DAYS_OF_HOURS
INSERT INTO task_metrics_day (day, task_type, queue, submitted, started, executions, succeeded, failed, cancelled,
    expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded, native_failed,
    native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running,
    held_seconds_sum, predicted, kept, kept_p50, run_buckets, run_counts, wait_buckets,
    wait_counts) WITH counted AS MATERIALIZED (SELECT date_trunc('day', hour, 'UTC') AS day, task_type, queue,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_hour
    WHERE hour >= CAST(:since AS timestamptz) AND hour < CAST(:before AS timestamptz)),
totals AS (SELECT day, task_type, queue, sum(submitted)::bigint AS submitted, sum(started)::bigint AS started,
    sum(executions)::bigint AS executions, sum(succeeded)::bigint AS succeeded, sum(failed)::bigint AS failed,
    sum(cancelled)::bigint AS cancelled, sum(expired)::bigint AS expired, sum(retried)::bigint AS retried,
    sum(timed_out)::bigint AS timed_out, sum(interrupted)::bigint AS interrupted,
    sum(uncertain_sendings)::bigint AS uncertain_sendings, sum(duplicates)::bigint AS duplicates,
    sum(native)::bigint AS native, sum(native_succeeded)::bigint AS native_succeeded,
    sum(native_failed)::bigint AS native_failed, sum(native_retried)::bigint AS native_retried,
    sum(sla_met)::bigint AS sla_met, sum(sla_missed)::bigint AS sla_missed, sum(run_seconds_sum) AS run_seconds_sum,
    sum(queue_wait_seconds_sum) AS queue_wait_seconds_sum, sum(held)::bigint AS held, sum(rescued)::bigint AS rescued,
    sum(cancelled_running)::bigint AS cancelled_running, sum(held_seconds_sum) AS held_seconds_sum,
    sum(predicted)::bigint AS predicted, sum(kept)::bigint AS kept, sum(kept_p50)::bigint AS kept_p50 FROM counted
    GROUP BY day, task_type, queue),
by_bucket AS (SELECT day, task_type, queue, code, sum(n) AS n FROM (SELECT day, task_type, queue, bucket + 0 AS code,
    n FROM counted CROSS JOIN LATERAL unnest(run_buckets, run_counts) AS pairs (bucket, n) UNION ALL SELECT day,
    task_type, queue, bucket + 100000 AS code, n FROM counted CROSS JOIN LATERAL unnest(wait_buckets,
    wait_counts) AS pairs (bucket, n)) AS observed GROUP BY day, task_type, queue, code),
histograms AS (SELECT day, task_type, queue, array_agg(code - 0
    ORDER BY code) FILTER (WHERE code < 50000) AS run_buckets, array_agg(n
    ORDER BY code) FILTER (WHERE code < 50000) AS run_counts, array_agg(code - 100000
    ORDER BY code) FILTER (WHERE code >= 50000) AS wait_buckets, array_agg(n
    ORDER BY code) FILTER (WHERE code >= 50000) AS wait_counts FROM by_bucket GROUP BY day, task_type, queue)
SELECT t.*, coalesce(h.run_buckets, '{}') AS run_buckets, coalesce(h.run_counts, '{}') AS run_counts,
    coalesce(h.wait_buckets, '{}') AS wait_buckets, coalesce(h.wait_counts, '{}') AS wait_counts FROM totals t LEFT
    JOIN histograms h USING (day, task_type, queue);

-- _DAYS_OF_MINUTES
INSERT INTO task_metrics_day (day, task_type, queue, submitted, started, executions, succeeded, failed, cancelled,
    expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded, native_failed,
    native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running,
    held_seconds_sum, predicted, kept, kept_p50, run_buckets, run_counts, wait_buckets,
    wait_counts) WITH counted AS MATERIALIZED (SELECT date_trunc('day', minute, 'UTC') AS day, task_type, queue,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics
    WHERE minute >= CAST(:since AS timestamptz) AND minute < CAST(:before AS timestamptz)),
totals AS (SELECT day, task_type, queue, sum(submitted)::bigint AS submitted, sum(started)::bigint AS started,
    sum(executions)::bigint AS executions, sum(succeeded)::bigint AS succeeded, sum(failed)::bigint AS failed,
    sum(cancelled)::bigint AS cancelled, sum(expired)::bigint AS expired, sum(retried)::bigint AS retried,
    sum(timed_out)::bigint AS timed_out, sum(interrupted)::bigint AS interrupted,
    sum(uncertain_sendings)::bigint AS uncertain_sendings, sum(duplicates)::bigint AS duplicates,
    sum(native)::bigint AS native, sum(native_succeeded)::bigint AS native_succeeded,
    sum(native_failed)::bigint AS native_failed, sum(native_retried)::bigint AS native_retried,
    sum(sla_met)::bigint AS sla_met, sum(sla_missed)::bigint AS sla_missed, sum(run_seconds_sum) AS run_seconds_sum,
    sum(queue_wait_seconds_sum) AS queue_wait_seconds_sum, sum(held)::bigint AS held, sum(rescued)::bigint AS rescued,
    sum(cancelled_running)::bigint AS cancelled_running, sum(held_seconds_sum) AS held_seconds_sum,
    sum(predicted)::bigint AS predicted, sum(kept)::bigint AS kept, sum(kept_p50)::bigint AS kept_p50 FROM counted
    GROUP BY day, task_type, queue),
by_bucket AS (SELECT day, task_type, queue, code, sum(n) AS n FROM (SELECT day, task_type, queue, bucket + 0 AS code,
    n FROM counted CROSS JOIN LATERAL unnest(run_buckets, run_counts) AS pairs (bucket, n) UNION ALL SELECT day,
    task_type, queue, bucket + 100000 AS code, n FROM counted CROSS JOIN LATERAL unnest(wait_buckets,
    wait_counts) AS pairs (bucket, n)) AS observed GROUP BY day, task_type, queue, code),
histograms AS (SELECT day, task_type, queue, array_agg(code - 0
    ORDER BY code) FILTER (WHERE code < 50000) AS run_buckets, array_agg(n
    ORDER BY code) FILTER (WHERE code < 50000) AS run_counts, array_agg(code - 100000
    ORDER BY code) FILTER (WHERE code >= 50000) AS wait_buckets, array_agg(n
    ORDER BY code) FILTER (WHERE code >= 50000) AS wait_counts FROM by_bucket GROUP BY day, task_type, queue)
SELECT t.*, coalesce(h.run_buckets, '{}') AS run_buckets, coalesce(h.run_counts, '{}') AS run_counts,
    coalesce(h.wait_buckets, '{}') AS wait_buckets, coalesce(h.wait_counts, '{}') AS wait_counts FROM totals t LEFT
    JOIN histograms h USING (day, task_type, queue);

----------------------------------------------------------------------------------------------------------------------
-- store/metrics/counters.py
-- Counters of ``TaskMetrics``: deltas, written with what they count. ``folding`` adds them up, ``summing`` reads.

-- _ADD
INSERT INTO task_metrics_delta (task_type, queue, minute, caller, error, pool, born_waiting, born_asleep, submitted,
    started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted, uncertain_sendings,
    duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed, run_seconds_sum,
    queue_wait_seconds_sum, run_buckets, run_counts, wait_buckets, wait_counts, held, held_seconds_sum, rescued,
    cancelled_running, predicted, kept, kept_p50) VALUES (:task_type::VARCHAR, :queue::VARCHAR,
    :minute::TIMESTAMP WITH TIME ZONE, :caller::VARCHAR, :error::VARCHAR, :pool::VARCHAR, :born_waiting::BIGINT,
    :born_asleep::BIGINT, :submitted::BIGINT, :started::BIGINT, :executions::BIGINT, :succeeded::BIGINT,
    :failed::BIGINT, :cancelled::BIGINT, :expired::BIGINT, :retried::BIGINT, :timed_out::BIGINT, :interrupted::BIGINT,
    :uncertain_sendings::BIGINT, :duplicates::BIGINT, :native::BIGINT, :native_succeeded::BIGINT,
    :native_failed::BIGINT, :native_retried::BIGINT, :sla_met::BIGINT, :sla_missed::BIGINT, :run_seconds_sum::FLOAT,
    :queue_wait_seconds_sum::FLOAT, :run_buckets::SMALLINT[], :run_counts::INTEGER[], :wait_buckets::SMALLINT[],
    :wait_counts::INTEGER[], :held::BIGINT, :held_seconds_sum::FLOAT, :rescued::BIGINT, :cancelled_running::BIGINT,
    :predicted::BIGINT, :kept::BIGINT, :kept_p50::BIGINT) RETURNING task_metrics_delta.id;

----------------------------------------------------------------------------------------------------------------------
-- store/metrics/exposed.py
-- What ``/metrics`` tells, in one row, so that every process tells the same and none counts for itself.

-- _NUMBER
SELECT coalesce(max(number), 0) FROM exposed_metrics WHERE name = :name;

-- _READ
SELECT number, greatest(0, extract(epoch FROM clock_timestamp() - taken_at))::float8 AS age_seconds,
    greatest(0, extract(epoch FROM clock_timestamp() - counted_at))::float8 AS counted_seconds,
    CASE WHEN number <> :have THEN rising END AS rising, CASE WHEN number <> :have THEN standing END AS standing
FROM exposed_metrics WHERE name = :name;

-- _WRITE
INSERT INTO exposed_metrics AS old (name, number, rising, standing, taken_at, counted_at)
VALUES (:name,
    greatest(CAST(:after AS bigint) + 1, CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)),
    :rising, :standing, clock_timestamp(), clock_timestamp() - CAST(:counted AS float8) * interval '1 second')
ON CONFLICT (name) DO UPDATE SET number = excluded.number, rising = excluded.rising,
    standing = excluded.standing, taken_at = excluded.taken_at, counted_at = excluded.counted_at
WHERE old.number = CAST(:after AS bigint);

----------------------------------------------------------------------------------------------------------------------
-- store/metrics/folding.py
-- Folds deltas into the rows of their minute, hour and day, all in one transaction: they always agree.

-- _TAKE_OLDEST
-- Deltas that are inserted meanwhile have higher ids, or are not seen yet: they stay for the next pass.
DELETE FROM task_metrics_delta WHERE task_metrics_delta.id IN (SELECT task_metrics_delta.id
FROM task_metrics_delta ORDER BY task_metrics_delta.id
 LIMIT :most::INTEGER) RETURNING task_metrics_delta.id, task_metrics_delta.task_type, task_metrics_delta.queue,
     task_metrics_delta.minute, task_metrics_delta.caller, task_metrics_delta.error, task_metrics_delta.pool,
     task_metrics_delta.born_waiting, task_metrics_delta.born_asleep, task_metrics_delta.submitted,
     task_metrics_delta.started, task_metrics_delta.executions, task_metrics_delta.succeeded,
     task_metrics_delta.failed, task_metrics_delta.cancelled, task_metrics_delta.expired, task_metrics_delta.retried,
     task_metrics_delta.timed_out, task_metrics_delta.interrupted, task_metrics_delta.uncertain_sendings,
     task_metrics_delta.duplicates, task_metrics_delta.native, task_metrics_delta.native_succeeded,
     task_metrics_delta.native_failed, task_metrics_delta.native_retried, task_metrics_delta.sla_met,
     task_metrics_delta.sla_missed, task_metrics_delta.run_seconds_sum, task_metrics_delta.queue_wait_seconds_sum,
     task_metrics_delta.run_buckets, task_metrics_delta.run_counts, task_metrics_delta.wait_buckets,
     task_metrics_delta.wait_counts, task_metrics_delta.held, task_metrics_delta.held_seconds_sum,
     task_metrics_delta.rescued, task_metrics_delta.cancelled_running, task_metrics_delta.predicted,
     task_metrics_delta.kept, task_metrics_delta.kept_p50;

-- _NAMES_OF_DAYS
SELECT grouped_by, day, name FROM task_metrics_by_day
WHERE grouped_by = ANY(ARRAY['caller', 'error', 'pool']) AND day = ANY(CAST(:days AS timestamptz[]));

-- find (task_metrics)
SELECT * FROM task_metrics WHERE (minute, task_type, queue) IN (SELECT * FROM unnest(CAST(:minute AS timestamptz[]),
    CAST(:task_type AS text[]), CAST(:queue AS text[])) AS rows (minute, task_type, queue));

-- replace (task_metrics)
INSERT INTO task_metrics (minute, task_type, queue, submitted, started, executions, succeeded, failed, cancelled,
    expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded, native_failed,
    native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, run_buckets, run_counts,
    wait_buckets, wait_counts, held, held_seconds_sum, rescued, cancelled_running, predicted, kept, kept_p50)
    VALUES (:minute::TIMESTAMP WITH TIME ZONE, :task_type::VARCHAR, :queue::VARCHAR, :submitted::BIGINT,
    :started::BIGINT, :executions::BIGINT, :succeeded::BIGINT, :failed::BIGINT, :cancelled::BIGINT, :expired::BIGINT,
    :retried::BIGINT, :timed_out::BIGINT, :interrupted::BIGINT, :uncertain_sendings::BIGINT, :duplicates::BIGINT,
    :native::BIGINT, :native_succeeded::BIGINT, :native_failed::BIGINT, :native_retried::BIGINT, :sla_met::BIGINT,
    :sla_missed::BIGINT, :run_seconds_sum::FLOAT, :queue_wait_seconds_sum::FLOAT, :run_buckets::SMALLINT[],
    :run_counts::INTEGER[], :wait_buckets::SMALLINT[], :wait_counts::INTEGER[], :held::BIGINT,
    :held_seconds_sum::FLOAT, :rescued::BIGINT, :cancelled_running::BIGINT, :predicted::BIGINT, :kept::BIGINT,
    :kept_p50::BIGINT) ON CONFLICT (minute, task_type, queue) DO UPDATE SET submitted = excluded.submitted,
    started = excluded.started, executions = excluded.executions, succeeded = excluded.succeeded,
    failed = excluded.failed, cancelled = excluded.cancelled, expired = excluded.expired, retried = excluded.retried,
    timed_out = excluded.timed_out, interrupted = excluded.interrupted,
    uncertain_sendings = excluded.uncertain_sendings, duplicates = excluded.duplicates, native = excluded.native,
    native_succeeded = excluded.native_succeeded, native_failed = excluded.native_failed,
    native_retried = excluded.native_retried, sla_met = excluded.sla_met, sla_missed = excluded.sla_missed,
    run_seconds_sum = excluded.run_seconds_sum, queue_wait_seconds_sum = excluded.queue_wait_seconds_sum,
    run_buckets = excluded.run_buckets, run_counts = excluded.run_counts, wait_buckets = excluded.wait_buckets,
    wait_counts = excluded.wait_counts, held = excluded.held, held_seconds_sum = excluded.held_seconds_sum,
    rescued = excluded.rescued, cancelled_running = excluded.cancelled_running, predicted = excluded.predicted,
    kept = excluded.kept, kept_p50 = excluded.kept_p50;

-- find (task_metrics_hour)
SELECT * FROM task_metrics_hour WHERE (hour, task_type, queue) IN (SELECT * FROM unnest(CAST(:hour AS timestamptz[]),
    CAST(:task_type AS text[]), CAST(:queue AS text[])) AS rows (hour, task_type, queue));

-- replace (task_metrics_hour)
INSERT INTO task_metrics_hour (hour, task_type, queue, submitted, started, executions, succeeded, failed, cancelled,
    expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded, native_failed,
    native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, run_buckets, run_counts,
    wait_buckets, wait_counts, held, held_seconds_sum, rescued, cancelled_running, predicted, kept, kept_p50)
    VALUES (:hour::TIMESTAMP WITH TIME ZONE, :task_type::VARCHAR, :queue::VARCHAR, :submitted::BIGINT,
    :started::BIGINT, :executions::BIGINT, :succeeded::BIGINT, :failed::BIGINT, :cancelled::BIGINT, :expired::BIGINT,
    :retried::BIGINT, :timed_out::BIGINT, :interrupted::BIGINT, :uncertain_sendings::BIGINT, :duplicates::BIGINT,
    :native::BIGINT, :native_succeeded::BIGINT, :native_failed::BIGINT, :native_retried::BIGINT, :sla_met::BIGINT,
    :sla_missed::BIGINT, :run_seconds_sum::FLOAT, :queue_wait_seconds_sum::FLOAT, :run_buckets::SMALLINT[],
    :run_counts::INTEGER[], :wait_buckets::SMALLINT[], :wait_counts::INTEGER[], :held::BIGINT,
    :held_seconds_sum::FLOAT, :rescued::BIGINT, :cancelled_running::BIGINT, :predicted::BIGINT, :kept::BIGINT,
    :kept_p50::BIGINT) ON CONFLICT (hour, task_type, queue) DO UPDATE SET submitted = excluded.submitted,
    started = excluded.started, executions = excluded.executions, succeeded = excluded.succeeded,
    failed = excluded.failed, cancelled = excluded.cancelled, expired = excluded.expired, retried = excluded.retried,
    timed_out = excluded.timed_out, interrupted = excluded.interrupted,
    uncertain_sendings = excluded.uncertain_sendings, duplicates = excluded.duplicates, native = excluded.native,
    native_succeeded = excluded.native_succeeded, native_failed = excluded.native_failed,
    native_retried = excluded.native_retried, sla_met = excluded.sla_met, sla_missed = excluded.sla_missed,
    run_seconds_sum = excluded.run_seconds_sum, queue_wait_seconds_sum = excluded.queue_wait_seconds_sum,
    run_buckets = excluded.run_buckets, run_counts = excluded.run_counts, wait_buckets = excluded.wait_buckets,
    wait_counts = excluded.wait_counts, held = excluded.held, held_seconds_sum = excluded.held_seconds_sum,
    rescued = excluded.rescued, cancelled_running = excluded.cancelled_running, predicted = excluded.predicted,
    kept = excluded.kept, kept_p50 = excluded.kept_p50;

-- find (task_metrics_day)
SELECT * FROM task_metrics_day WHERE (day, task_type, queue) IN (SELECT * FROM unnest(CAST(:day AS timestamptz[]),
    CAST(:task_type AS text[]), CAST(:queue AS text[])) AS rows (day, task_type, queue));

-- replace (task_metrics_day)
INSERT INTO task_metrics_day (day, task_type, queue, submitted, started, executions, succeeded, failed, cancelled,
    expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded, native_failed,
    native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, run_buckets, run_counts,
    wait_buckets, wait_counts, held, held_seconds_sum, rescued, cancelled_running, predicted, kept, kept_p50)
    VALUES (:day::TIMESTAMP WITH TIME ZONE, :task_type::VARCHAR, :queue::VARCHAR, :submitted::BIGINT,
    :started::BIGINT, :executions::BIGINT, :succeeded::BIGINT, :failed::BIGINT, :cancelled::BIGINT, :expired::BIGINT,
    :retried::BIGINT, :timed_out::BIGINT, :interrupted::BIGINT, :uncertain_sendings::BIGINT, :duplicates::BIGINT,
    :native::BIGINT, :native_succeeded::BIGINT, :native_failed::BIGINT, :native_retried::BIGINT, :sla_met::BIGINT,
    :sla_missed::BIGINT, :run_seconds_sum::FLOAT, :queue_wait_seconds_sum::FLOAT, :run_buckets::SMALLINT[],
    :run_counts::INTEGER[], :wait_buckets::SMALLINT[], :wait_counts::INTEGER[], :held::BIGINT,
    :held_seconds_sum::FLOAT, :rescued::BIGINT, :cancelled_running::BIGINT, :predicted::BIGINT, :kept::BIGINT,
    :kept_p50::BIGINT) ON CONFLICT (day, task_type, queue) DO UPDATE SET submitted = excluded.submitted,
    started = excluded.started, executions = excluded.executions, succeeded = excluded.succeeded,
    failed = excluded.failed, cancelled = excluded.cancelled, expired = excluded.expired, retried = excluded.retried,
    timed_out = excluded.timed_out, interrupted = excluded.interrupted,
    uncertain_sendings = excluded.uncertain_sendings, duplicates = excluded.duplicates, native = excluded.native,
    native_succeeded = excluded.native_succeeded, native_failed = excluded.native_failed,
    native_retried = excluded.native_retried, sla_met = excluded.sla_met, sla_missed = excluded.sla_missed,
    run_seconds_sum = excluded.run_seconds_sum, queue_wait_seconds_sum = excluded.queue_wait_seconds_sum,
    run_buckets = excluded.run_buckets, run_counts = excluded.run_counts, wait_buckets = excluded.wait_buckets,
    wait_counts = excluded.wait_counts, held = excluded.held, held_seconds_sum = excluded.held_seconds_sum,
    rescued = excluded.rescued, cancelled_running = excluded.cancelled_running, predicted = excluded.predicted,
    kept = excluded.kept, kept_p50 = excluded.kept_p50;

-- find (task_metrics_by_minute)
SELECT * FROM task_metrics_by_minute WHERE (grouped_by, minute, name) IN (SELECT *
    FROM unnest(CAST(:grouped_by AS text[]), CAST(:minute AS timestamptz[]),
    CAST(:name AS text[])) AS rows (grouped_by, minute, name));

-- replace (task_metrics_by_minute)
INSERT INTO task_metrics_by_minute (grouped_by, minute, name, submitted, started, executions, succeeded, failed,
    cancelled, expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded,
    native_failed, native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, run_buckets,
    run_counts, wait_buckets, wait_counts, held, held_seconds_sum, rescued, cancelled_running, predicted, kept,
    kept_p50) VALUES (:grouped_by::VARCHAR, :minute::TIMESTAMP WITH TIME ZONE, :name::VARCHAR, :submitted::BIGINT,
    :started::BIGINT, :executions::BIGINT, :succeeded::BIGINT, :failed::BIGINT, :cancelled::BIGINT, :expired::BIGINT,
    :retried::BIGINT, :timed_out::BIGINT, :interrupted::BIGINT, :uncertain_sendings::BIGINT, :duplicates::BIGINT,
    :native::BIGINT, :native_succeeded::BIGINT, :native_failed::BIGINT, :native_retried::BIGINT, :sla_met::BIGINT,
    :sla_missed::BIGINT, :run_seconds_sum::FLOAT, :queue_wait_seconds_sum::FLOAT, :run_buckets::SMALLINT[],
    :run_counts::INTEGER[], :wait_buckets::SMALLINT[], :wait_counts::INTEGER[], :held::BIGINT,
    :held_seconds_sum::FLOAT, :rescued::BIGINT, :cancelled_running::BIGINT, :predicted::BIGINT, :kept::BIGINT,
    :kept_p50::BIGINT) ON CONFLICT (grouped_by, minute, name) DO UPDATE SET submitted = excluded.submitted,
    started = excluded.started, executions = excluded.executions, succeeded = excluded.succeeded,
    failed = excluded.failed, cancelled = excluded.cancelled, expired = excluded.expired, retried = excluded.retried,
    timed_out = excluded.timed_out, interrupted = excluded.interrupted,
    uncertain_sendings = excluded.uncertain_sendings, duplicates = excluded.duplicates, native = excluded.native,
    native_succeeded = excluded.native_succeeded, native_failed = excluded.native_failed,
    native_retried = excluded.native_retried, sla_met = excluded.sla_met, sla_missed = excluded.sla_missed,
    run_seconds_sum = excluded.run_seconds_sum, queue_wait_seconds_sum = excluded.queue_wait_seconds_sum,
    run_buckets = excluded.run_buckets, run_counts = excluded.run_counts, wait_buckets = excluded.wait_buckets,
    wait_counts = excluded.wait_counts, held = excluded.held, held_seconds_sum = excluded.held_seconds_sum,
    rescued = excluded.rescued, cancelled_running = excluded.cancelled_running, predicted = excluded.predicted,
    kept = excluded.kept, kept_p50 = excluded.kept_p50;

-- find (task_metrics_by_hour)
SELECT * FROM task_metrics_by_hour WHERE (grouped_by, hour, name) IN (SELECT *
    FROM unnest(CAST(:grouped_by AS text[]), CAST(:hour AS timestamptz[]), CAST(:name AS text[])) AS rows (grouped_by,
    hour, name));

-- replace (task_metrics_by_hour)
INSERT INTO task_metrics_by_hour (grouped_by, hour, name, submitted, started, executions, succeeded, failed,
    cancelled, expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded,
    native_failed, native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, run_buckets,
    run_counts, wait_buckets, wait_counts, held, held_seconds_sum, rescued, cancelled_running, predicted, kept,
    kept_p50) VALUES (:grouped_by::VARCHAR, :hour::TIMESTAMP WITH TIME ZONE, :name::VARCHAR, :submitted::BIGINT,
    :started::BIGINT, :executions::BIGINT, :succeeded::BIGINT, :failed::BIGINT, :cancelled::BIGINT, :expired::BIGINT,
    :retried::BIGINT, :timed_out::BIGINT, :interrupted::BIGINT, :uncertain_sendings::BIGINT, :duplicates::BIGINT,
    :native::BIGINT, :native_succeeded::BIGINT, :native_failed::BIGINT, :native_retried::BIGINT, :sla_met::BIGINT,
    :sla_missed::BIGINT, :run_seconds_sum::FLOAT, :queue_wait_seconds_sum::FLOAT, :run_buckets::SMALLINT[],
    :run_counts::INTEGER[], :wait_buckets::SMALLINT[], :wait_counts::INTEGER[], :held::BIGINT,
    :held_seconds_sum::FLOAT, :rescued::BIGINT, :cancelled_running::BIGINT, :predicted::BIGINT, :kept::BIGINT,
    :kept_p50::BIGINT) ON CONFLICT (grouped_by, hour, name) DO UPDATE SET submitted = excluded.submitted,
    started = excluded.started, executions = excluded.executions, succeeded = excluded.succeeded,
    failed = excluded.failed, cancelled = excluded.cancelled, expired = excluded.expired, retried = excluded.retried,
    timed_out = excluded.timed_out, interrupted = excluded.interrupted,
    uncertain_sendings = excluded.uncertain_sendings, duplicates = excluded.duplicates, native = excluded.native,
    native_succeeded = excluded.native_succeeded, native_failed = excluded.native_failed,
    native_retried = excluded.native_retried, sla_met = excluded.sla_met, sla_missed = excluded.sla_missed,
    run_seconds_sum = excluded.run_seconds_sum, queue_wait_seconds_sum = excluded.queue_wait_seconds_sum,
    run_buckets = excluded.run_buckets, run_counts = excluded.run_counts, wait_buckets = excluded.wait_buckets,
    wait_counts = excluded.wait_counts, held = excluded.held, held_seconds_sum = excluded.held_seconds_sum,
    rescued = excluded.rescued, cancelled_running = excluded.cancelled_running, predicted = excluded.predicted,
    kept = excluded.kept, kept_p50 = excluded.kept_p50;

-- find (task_metrics_by_day)
SELECT * FROM task_metrics_by_day WHERE (grouped_by, day, name) IN (SELECT * FROM unnest(CAST(:grouped_by AS text[]),
    CAST(:day AS timestamptz[]), CAST(:name AS text[])) AS rows (grouped_by, day, name));

-- replace (task_metrics_by_day)
INSERT INTO task_metrics_by_day (grouped_by, day, name, submitted, started, executions, succeeded, failed, cancelled,
    expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded, native_failed,
    native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, run_buckets, run_counts,
    wait_buckets, wait_counts, held, held_seconds_sum, rescued, cancelled_running, predicted, kept, kept_p50)
    VALUES (:grouped_by::VARCHAR, :day::TIMESTAMP WITH TIME ZONE, :name::VARCHAR, :submitted::BIGINT,
    :started::BIGINT, :executions::BIGINT, :succeeded::BIGINT, :failed::BIGINT, :cancelled::BIGINT, :expired::BIGINT,
    :retried::BIGINT, :timed_out::BIGINT, :interrupted::BIGINT, :uncertain_sendings::BIGINT, :duplicates::BIGINT,
    :native::BIGINT, :native_succeeded::BIGINT, :native_failed::BIGINT, :native_retried::BIGINT, :sla_met::BIGINT,
    :sla_missed::BIGINT, :run_seconds_sum::FLOAT, :queue_wait_seconds_sum::FLOAT, :run_buckets::SMALLINT[],
    :run_counts::INTEGER[], :wait_buckets::SMALLINT[], :wait_counts::INTEGER[], :held::BIGINT,
    :held_seconds_sum::FLOAT, :rescued::BIGINT, :cancelled_running::BIGINT, :predicted::BIGINT, :kept::BIGINT,
    :kept_p50::BIGINT) ON CONFLICT (grouped_by, day, name) DO UPDATE SET submitted = excluded.submitted,
    started = excluded.started, executions = excluded.executions, succeeded = excluded.succeeded,
    failed = excluded.failed, cancelled = excluded.cancelled, expired = excluded.expired, retried = excluded.retried,
    timed_out = excluded.timed_out, interrupted = excluded.interrupted,
    uncertain_sendings = excluded.uncertain_sendings, duplicates = excluded.duplicates, native = excluded.native,
    native_succeeded = excluded.native_succeeded, native_failed = excluded.native_failed,
    native_retried = excluded.native_retried, sla_met = excluded.sla_met, sla_missed = excluded.sla_missed,
    run_seconds_sum = excluded.run_seconds_sum, queue_wait_seconds_sum = excluded.queue_wait_seconds_sum,
    run_buckets = excluded.run_buckets, run_counts = excluded.run_counts, wait_buckets = excluded.wait_buckets,
    wait_counts = excluded.wait_counts, held = excluded.held, held_seconds_sum = excluded.held_seconds_sum,
    rescued = excluded.rescued, cancelled_running = excluded.cancelled_running, predicted = excluded.predicted,
    kept = excluded.kept, kept_p50 = excluded.kept_p50;

----------------------------------------------------------------------------------------------------------------------
-- store/metrics/forgetting.py
-- What leaves ``TaskMetrics`` by age: minutes first, then hours, then days. No sum over everything changes.

-- _NAMED_DAYS
DELETE FROM task_metrics_by_day WHERE (day, grouped_by, name) IN (
SELECT day, grouped_by, name FROM task_metrics_by_day WHERE day < CAST(:before AS timestamptz) - interval '1 day'
ORDER BY day LIMIT :most);

-- _DAYS
DELETE FROM task_metrics_day WHERE (day, task_type, queue) IN (
       SELECT day, task_type, queue FROM task_metrics_day WHERE day < CAST(:before AS timestamptz) - interval '1 day'
           AND day > CAST(:ever AS timestamptz)
       ORDER BY day LIMIT :most)
RETURNING *;

-- _AGE
SELECT began_at < now() - CAST(:first AS interval) FROM task_metrics_kept;

-- _ADVANCE
UPDATE task_metrics_kept k SET minutes_since = n.minutes, hours_since = n.hours, days_since = n.days
FROM (
    SELECT greatest(minutes_since, date_trunc('day', now() - CAST(:minutes AS interval), 'UTC')) AS minutes,
        greatest(hours_since, date_trunc('day', now() - CAST(:hours AS interval), 'UTC')) AS hours,
        greatest(days_since, date_trunc('day', now() - CAST(:days AS interval), 'UTC')) AS days
    FROM task_metrics_kept
) AS n
WHERE (k.minutes_since, k.hours_since, k.days_since) <> (n.minutes, n.hours, n.days);

----------------------------------------------------------------------------------------------------------------------
-- store/metrics/history.py
-- QueueMetrics and WorkerMetrics: samples written down by minute, hour and day, and read over a window.

-- _FLOW
SELECT queue, sum(submitted)::bigint AS submitted, sum(executions - native)::bigint AS executions FROM (
    SELECT queue, submitted, executions, native FROM task_metrics WHERE minute >= CAST(:since AS timestamptz)
    UNION ALL
    SELECT queue, submitted, executions, native FROM task_metrics_delta WHERE minute >= CAST(:since AS timestamptz)
) AS counted GROUP BY queue;

-- _ADDS (queue)
INSERT INTO queue_metrics AS old (queue, step_seconds, at, figure, samples, total, low, high, last, sampled_at)
SELECT s.name, step, date_bin(step * interval '1 second', s.minute, timestamptz '2000-01-01 00:00+00'), s.figure,
    sum(s.samples), sum(s.total), min(s.low), max(s.high),
    (array_agg(s.last ORDER BY s.sampled_at DESC))[1], max(s.sampled_at)
FROM unnest(ARRAY[60, 3600, 86400]) AS steps (step) CROSS JOIN unnest(CAST(:name AS text[]), CAST(:figure AS text[]),
    CAST(:minute AS timestamptz[]), CAST(:samples AS bigint[]), CAST(:total AS float8[]), CAST(:low AS float8[]),
    CAST(:high AS float8[]), CAST(:last AS float8[]), CAST(:sampled_at AS timestamptz[])) AS s (name, figure, minute,
    samples, total, low, high, last, sampled_at)
GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4, 1
ON CONFLICT (step_seconds, at, figure, queue) DO UPDATE SET
    samples = old.samples + excluded.samples, total = old.total + excluded.total,
    low = least(old.low, excluded.low), high = greatest(old.high, excluded.high),
    last = CASE WHEN excluded.sampled_at >= old.sampled_at THEN excluded.last ELSE old.last END,
    sampled_at = greatest(old.sampled_at, excluded.sampled_at);

-- _ADDS (pool)
INSERT INTO worker_metrics AS old (pool, step_seconds, at, figure, samples, total, low, high, last, sampled_at)
SELECT s.name, step, date_bin(step * interval '1 second', s.minute, timestamptz '2000-01-01 00:00+00'), s.figure,
    sum(s.samples), sum(s.total), min(s.low), max(s.high),
    (array_agg(s.last ORDER BY s.sampled_at DESC))[1], max(s.sampled_at)
FROM unnest(ARRAY[60, 3600, 86400]) AS steps (step) CROSS JOIN unnest(CAST(:name AS text[]), CAST(:figure AS text[]),
    CAST(:minute AS timestamptz[]), CAST(:samples AS bigint[]), CAST(:total AS float8[]), CAST(:low AS float8[]),
    CAST(:high AS float8[]), CAST(:last AS float8[]), CAST(:sampled_at AS timestamptz[])) AS s (name, figure, minute,
    samples, total, low, high, last, sampled_at)
GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4, 1
ON CONFLICT (step_seconds, at, figure, pool) DO UPDATE SET
    samples = old.samples + excluded.samples, total = old.total + excluded.total,
    low = least(old.low, excluded.low), high = greatest(old.high, excluded.high),
    last = CASE WHEN excluded.sampled_at >= old.sampled_at THEN excluded.last ELSE old.last END,
    sampled_at = greatest(old.sampled_at, excluded.sampled_at);

-- _READS (queue)
WITH steps AS (
    SELECT queue AS name, date_bin(CAST(:step AS float8) * interval '1 second', at,
        timestamptz '2000-01-01 00:00+00') AS begins, figure,
        sum(samples)::bigint AS samples, sum(total) AS total, min(low) AS low, max(high) AS high, max(at) AS newest
    FROM queue_metrics
    WHERE step_seconds = :kept AND at >= CAST(:since AS timestamptz) AND at < CAST(:until AS timestamptz)
        AND (CAST(:name AS text) IS NULL OR queue = :name)
    GROUP BY 1, 2, 3
)
SELECT s.name, s.begins, s.figure, s.samples, s.total, s.low, s.high, (SELECT t.last FROM queue_metrics t
    WHERE t.step_seconds = :kept AND t.at = s.newest AND t.figure = s.figure AND t.queue = s.name) AS last
FROM steps s ORDER BY s.name, s.begins;

-- _READS (pool)
WITH steps AS (
    SELECT pool AS name, date_bin(CAST(:step AS float8) * interval '1 second', at,
        timestamptz '2000-01-01 00:00+00') AS begins, figure,
        sum(samples)::bigint AS samples, sum(total) AS total, min(low) AS low, max(high) AS high, max(at) AS newest
    FROM worker_metrics
    WHERE step_seconds = :kept AND at >= CAST(:since AS timestamptz) AND at < CAST(:until AS timestamptz)
        AND (CAST(:name AS text) IS NULL OR pool = :name)
    GROUP BY 1, 2, 3
)
SELECT s.name, s.begins, s.figure, s.samples, s.total, s.low, s.high, (SELECT t.last FROM worker_metrics t
    WHERE t.step_seconds = :kept AND t.at = s.newest AND t.figure = s.figure AND t.pool = s.name) AS last
FROM steps s ORDER BY s.name, s.begins;

-- _NEWESTS (queue)
SELECT max(sampled_at) FROM queue_metrics
WHERE step_seconds = 60 AND at = (SELECT max(at) FROM queue_metrics WHERE step_seconds = 60);

-- _NEWESTS (pool)
SELECT max(sampled_at) FROM worker_metrics
WHERE step_seconds = 60 AND at = (SELECT max(at) FROM worker_metrics WHERE step_seconds = 60);

-- _FORGETS (queue)
DELETE FROM queue_metrics WHERE (step_seconds, at, figure, queue) IN (
SELECT step_seconds, at, figure, queue FROM queue_metrics
WHERE step_seconds = :step AND at < now() - CAST(:days AS float8) * interval '1 day' ORDER BY at LIMIT :most);

-- _FORGETS (pool)
DELETE FROM worker_metrics WHERE (step_seconds, at, figure, pool) IN (
SELECT step_seconds, at, figure, pool FROM worker_metrics
WHERE step_seconds = :step AND at < now() - CAST(:days AS float8) * interval '1 day' ORDER BY at LIMIT :most);

----------------------------------------------------------------------------------------------------------------------
-- store/metrics/predictions.py
-- Predictions of a sample of the tasks: kept when they are made, compared with what came, counted by queue.

-- _KEEP
INSERT INTO prediction (task_id, queue, priority, submitted_at, p50_seconds, p95_seconds, basis, kind,
    expected_seconds, flow_p50_seconds, flow_p95_seconds, history_p50_seconds, history_p95_seconds) SELECT *
    FROM unnest(CAST(:task_id AS uuid[]), CAST(:queue AS text[]), CAST(:priority AS smallint[]),
    CAST(:submitted_at AS timestamptz[]), CAST(:p50_seconds AS real[]), CAST(:p95_seconds AS real[]),
    CAST(:basis AS text[]), CAST(:kind AS smallint[]), CAST(:expected_seconds AS real[]),
    CAST(:flow_p50_seconds AS real[]), CAST(:flow_p95_seconds AS real[]), CAST(:history_p50_seconds AS real[]),
    CAST(:history_p95_seconds AS real[])) AS rows (task_id, queue, priority, submitted_at, p50_seconds, p95_seconds,
    basis, kind, expected_seconds, flow_p50_seconds, flow_p95_seconds, history_p50_seconds, history_p95_seconds)
    ON CONFLICT DO NOTHING;

-- _SEEN
SELECT t.id, extract(epoch FROM CASE WHEN t.attempt = 1 THEN t.started_at ELSE
    (SELECT a.started_at FROM task_attempt a WHERE a.task_id = t.id
        AND a.attempt = 1) END - t.submitted_at)::float8 AS waited,
    t.held_seconds > 0 OR t.state = 'held' AS held, t.attempt > 0 AS started, false AS ended, t.task_type, t.caller,
    CASE WHEN t.attempt = 1 THEN t.worker ELSE
    (SELECT a.worker FROM task_attempt a WHERE a.task_id = t.id AND a.attempt = 1) END AS worker
FROM task_live t WHERE t.id = ANY(CAST(:ids AS uuid[]))
UNION ALL
SELECT t.id, extract(epoch FROM CASE WHEN t.attempt = 1 THEN t.started_at ELSE
    (SELECT a.started_at FROM task_attempt a WHERE a.task_id = t.id AND a.attempt = 1) END - t.submitted_at)::float8,
        t.held_seconds > 0, t.attempt > 0,
    true, t.task_type, t.caller, CASE WHEN t.attempt = 1 THEN t.worker ELSE
    (SELECT a.worker FROM task_attempt a WHERE a.task_id = t.id AND a.attempt = 1) END
FROM task t WHERE t.id = ANY(CAST(:ids AS uuid[])) AND t.id BETWEEN CAST(:low AS uuid) AND CAST(:high AS uuid);

-- _SETTLE
UPDATE prediction p SET settled_at = now(), waited_seconds = e.waited FROM unnest(CAST(:id AS uuid[]),
    CAST(:waited AS real[])) AS e (id, waited) WHERE p.task_id = e.id AND p.task_id = ANY(CAST(:id AS uuid[]))
    AND p.settled_at IS NULL
RETURNING p.task_id, p.settled_at, p.late_at IS NOT NULL AS was_late,
    coalesce(p.waited_seconds <= p.p50_seconds, false) AS within_p50,
    coalesce(p.waited_seconds <= p.p95_seconds, false) AS within_p95;

-- _LATE
UPDATE prediction SET late_at = now()
WHERE task_id = ANY(CAST(:ids AS uuid[])) AND late_at IS NULL AND settled_at IS NULL
RETURNING task_id, late_at;

-- _ADD
-- Arrays of arrays must be of one length, so each comes as text.
INSERT INTO prediction_metrics AS m (queue, span_seconds, at, compared, within_p50, within_p95, error_buckets,
    error_counts) SELECT e.queue, s.seconds, to_timestamp(floor(extract(epoch FROM now()) / s.seconds) * s.seconds),
    e.compared, e.within_p50, e.within_p95, CAST(e.buckets AS smallint[]), CAST(e.counts AS integer[])
    FROM unnest(CAST(:queue AS text[]), CAST(:compared AS integer[]), CAST(:within_p50 AS integer[]),
    CAST(:within_p95 AS integer[]), CAST(:buckets AS text[]), CAST(:counts AS text[])) AS e (queue, compared,
    within_p50, within_p95, buckets, counts) CROSS JOIN unnest(CAST(:spans AS integer[])) AS s (seconds)
ON CONFLICT (queue, span_seconds, at) DO UPDATE SET compared = m.compared + excluded.compared,
    within_p50 = m.within_p50 + excluded.within_p50, within_p95 = m.within_p95 + excluded.within_p95,
    (error_buckets, error_counts) = (
        SELECT coalesce(array_agg(bucket ORDER BY bucket), '{}'), coalesce(array_agg(errors ORDER BY bucket), '{}')
        FROM (SELECT bucket, sum(errors)::integer AS errors
            FROM unnest(m.error_buckets || excluded.error_buckets, m.error_counts || excluded.error_counts)
                AS pairs (bucket, errors)
            GROUP BY bucket) AS merged);

-- _COMPARED
SELECT queue, compared, within_p50, within_p95, error_buckets, error_counts FROM prediction_metrics
WHERE span_seconds = :span AND at > now() - CAST(:window AS float8) * interval '1 second'
    - CAST(:span AS float8) * interval '1 second';

-- _RECORD
SELECT task_id, queue, priority, submitted_at, p50_seconds, p95_seconds, basis, kind, expected_seconds,
    flow_p50_seconds, flow_p95_seconds, history_p50_seconds, history_p95_seconds, late_at IS NOT NULL AS late,
    waited_seconds FROM prediction WHERE settled_at IS NOT NULL AND waited_seconds IS NOT NULL
    ORDER BY submitted_at DESC LIMIT :most;

-- _OPEN
SELECT task_id, queue, priority, submitted_at, p50_seconds, p95_seconds, basis, kind, expected_seconds,
    flow_p50_seconds, flow_p95_seconds, history_p50_seconds, history_p95_seconds, late_at IS NOT NULL AS late,
    waited_seconds FROM prediction WHERE settled_at IS NULL ORDER BY submitted_at DESC LIMIT :most;

----------------------------------------------------------------------------------------------------------------------
-- store/metrics/remembering.py
-- Sums over a window, whose parts are remembered as long as no row of them has changed.

-- statement (by task type, until now)
WITH seen AS MATERIALIZED (SELECT 'first_minutes' AS part, count(*) || ' ' || coalesce(sum(writer), 0) AS versions
    FROM (SELECT hashtextextended(CAST(xmin AS text), 0) AS writer FROM task_metrics
    WHERE minute >= CAST(:first_minutes_since AS timestamptz)
    AND minute < CAST(:first_minutes_before AS timestamptz)) AS w UNION ALL SELECT 'first_hours' AS part,
    count(*) || ' ' || coalesce(sum(writer), 0) AS versions FROM (SELECT hashtextextended(CAST(xmin AS text),
    0) AS writer FROM task_metrics_hour WHERE hour >= CAST(:first_hours_since AS timestamptz)
    AND hour < CAST(:first_hours_before AS timestamptz)) AS w UNION ALL SELECT 'days_now' AS part,
    count(*) || ' ' || coalesce(sum(writer), 0) AS versions FROM (SELECT hashtextextended(CAST(xmin AS text),
    0) AS writer FROM task_metrics_day WHERE day >= CAST(:days_now_since AS timestamptz)
    AND day < CAST(:days_now_before AS timestamptz)) AS w)
SELECT ARRAY(SELECT part FROM seen ORDER BY part) AS parts,
    ARRAY(SELECT versions FROM seen ORDER BY part) AS versions, summed.*
FROM (SELECT) AS always LEFT JOIN (WITH counted AS MATERIALIZED (SELECT 'deltas' AS part, task_type AS task_type,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_delta
    WHERE minute >= CAST(:window_since AS timestamptz) AND minute < CAST(:window_before AS timestamptz) UNION ALL
    SELECT 'first_minutes' AS part, task_type AS task_type, submitted, started, executions, succeeded, failed,
    cancelled, expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded,
    native_failed, native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, held, rescued,
    cancelled_running, held_seconds_sum, predicted, kept, kept_p50, run_buckets, run_counts, wait_buckets, wait_counts
    FROM task_metrics WHERE minute >= CAST(:first_minutes_since AS timestamptz)
    AND minute < CAST(:first_minutes_before AS timestamptz) AND (SELECT versions FROM seen
    WHERE part = 'first_minutes') IS DISTINCT FROM CAST(:first_minutes_known AS text) UNION ALL
    SELECT 'first_hours' AS part, task_type AS task_type, submitted, started, executions, succeeded, failed,
    cancelled, expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded,
    native_failed, native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, held, rescued,
    cancelled_running, held_seconds_sum, predicted, kept, kept_p50, run_buckets, run_counts, wait_buckets, wait_counts
    FROM task_metrics_hour WHERE hour >= CAST(:first_hours_since AS timestamptz)
    AND hour < CAST(:first_hours_before AS timestamptz) AND (SELECT versions FROM seen
    WHERE part = 'first_hours') IS DISTINCT FROM CAST(:first_hours_known AS text) UNION ALL SELECT 'days_now' AS part,
    task_type AS task_type, submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out,
    interrupted, uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met,
    sla_missed, run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum,
    predicted, kept, kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_day
    WHERE day >= CAST(:days_now_since AS timestamptz) AND day < CAST(:days_now_before AS timestamptz)
    AND (SELECT versions FROM seen WHERE part = 'days_now') IS DISTINCT FROM CAST(:days_now_known AS text)),
totals AS (SELECT part, task_type, sum(submitted)::bigint AS submitted, sum(started)::bigint AS started,
    sum(executions)::bigint AS executions, sum(succeeded)::bigint AS succeeded, sum(failed)::bigint AS failed,
    sum(cancelled)::bigint AS cancelled, sum(expired)::bigint AS expired, sum(retried)::bigint AS retried,
    sum(timed_out)::bigint AS timed_out, sum(interrupted)::bigint AS interrupted,
    sum(uncertain_sendings)::bigint AS uncertain_sendings, sum(duplicates)::bigint AS duplicates,
    sum(native)::bigint AS native, sum(native_succeeded)::bigint AS native_succeeded,
    sum(native_failed)::bigint AS native_failed, sum(native_retried)::bigint AS native_retried,
    sum(sla_met)::bigint AS sla_met, sum(sla_missed)::bigint AS sla_missed, sum(run_seconds_sum) AS run_seconds_sum,
    sum(queue_wait_seconds_sum) AS queue_wait_seconds_sum, sum(held)::bigint AS held, sum(rescued)::bigint AS rescued,
    sum(cancelled_running)::bigint AS cancelled_running, sum(held_seconds_sum) AS held_seconds_sum,
    sum(predicted)::bigint AS predicted, sum(kept)::bigint AS kept, sum(kept_p50)::bigint AS kept_p50 FROM counted
    GROUP BY part, task_type),
by_bucket AS (SELECT part, task_type, code, sum(n) AS n FROM (SELECT part, task_type, bucket + 0 AS code, n
    FROM counted CROSS JOIN LATERAL unnest(run_buckets, run_counts) AS pairs (bucket, n) UNION ALL SELECT part,
    task_type, bucket + 100000 AS code, n FROM counted CROSS JOIN LATERAL unnest(wait_buckets,
    wait_counts) AS pairs (bucket, n)) AS observed GROUP BY part, task_type, code),
histograms AS (SELECT part, task_type, array_agg(code - 0 ORDER BY code) FILTER (WHERE code < 50000) AS run_buckets,
    array_agg(n ORDER BY code) FILTER (WHERE code < 50000) AS run_counts, array_agg(code - 100000
    ORDER BY code) FILTER (WHERE code >= 50000) AS wait_buckets, array_agg(n
    ORDER BY code) FILTER (WHERE code >= 50000) AS wait_counts FROM by_bucket GROUP BY part, task_type)
SELECT t.*, coalesce(h.run_buckets, '{}') AS run_buckets, coalesce(h.run_counts, '{}') AS run_counts,
    coalesce(h.wait_buckets, '{}') AS wait_buckets, coalesce(h.wait_counts, '{}') AS wait_counts FROM totals t LEFT
    JOIN histograms h USING (part, task_type)) AS summed
    ON true;

----------------------------------------------------------------------------------------------------------------------
-- store/metrics/summing.py
-- Sums of ``TaskMetrics``: over a window, over each step of one, or over everything.

-- _KEPT
SELECT now() AS now, minutes_since, hours_since, days_since, carried_to FROM task_metrics_kept
UNION ALL SELECT now(), :ever, :ever, :ever, NULL WHERE NOT EXISTS (SELECT FROM task_metrics_kept);

-- _HOURS
SELECT (SELECT count(*) FROM task_metrics_hour WHERE hour >= :since AND hour < :before);

-- _HOURS_NAMED
SELECT (SELECT count(*) FROM task_metrics_hour WHERE hour >= :since AND hour < :before) + (SELECT count(*)
    FROM task_metrics_by_hour WHERE hour >= :since AND hour < :before AND grouped_by = :grouped_by);

-- statement (by task type and queue, in a window)
WITH counted AS MATERIALIZED (SELECT task_type AS task_type, queue AS queue, submitted, started, executions,
    succeeded, failed, cancelled, expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native,
    native_succeeded, native_failed, native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum,
    held, rescued, cancelled_running, held_seconds_sum, predicted, kept, kept_p50, run_buckets, run_counts,
    wait_buckets, wait_counts FROM task_metrics_day WHERE day >= CAST(:old_days_since AS timestamptz)
    AND day < CAST(:old_days_before AS timestamptz) UNION ALL SELECT task_type AS task_type, queue AS queue,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics
    WHERE minute >= CAST(:first_minutes_since AS timestamptz)
    AND minute < CAST(:first_minutes_before AS timestamptz) UNION ALL SELECT task_type AS task_type, queue AS queue,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_hour
    WHERE hour >= CAST(:first_hours_since AS timestamptz)
    AND hour < CAST(:first_hours_before AS timestamptz) UNION ALL SELECT task_type AS task_type, queue AS queue,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_day
    WHERE day >= CAST(:days_since AS timestamptz) AND day < CAST(:days_before AS timestamptz) UNION ALL
    SELECT task_type AS task_type, queue AS queue, submitted, started, executions, succeeded, failed, cancelled,
    expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded, native_failed,
    native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running,
    held_seconds_sum, predicted, kept, kept_p50, run_buckets, run_counts, wait_buckets, wait_counts
    FROM task_metrics_hour WHERE hour >= CAST(:last_hours_since AS timestamptz)
    AND hour < CAST(:last_hours_before AS timestamptz) UNION ALL SELECT task_type AS task_type, queue AS queue,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics
    WHERE minute >= CAST(:last_minutes_since AS timestamptz)
    AND minute < CAST(:last_minutes_before AS timestamptz) UNION ALL SELECT task_type AS task_type, queue AS queue,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_delta
    WHERE minute >= CAST(:window_since AS timestamptz) AND minute < CAST(:window_before AS timestamptz)),
totals AS (SELECT task_type, queue, sum(submitted)::bigint AS submitted, sum(started)::bigint AS started,
    sum(executions)::bigint AS executions, sum(succeeded)::bigint AS succeeded, sum(failed)::bigint AS failed,
    sum(cancelled)::bigint AS cancelled, sum(expired)::bigint AS expired, sum(retried)::bigint AS retried,
    sum(timed_out)::bigint AS timed_out, sum(interrupted)::bigint AS interrupted,
    sum(uncertain_sendings)::bigint AS uncertain_sendings, sum(duplicates)::bigint AS duplicates,
    sum(native)::bigint AS native, sum(native_succeeded)::bigint AS native_succeeded,
    sum(native_failed)::bigint AS native_failed, sum(native_retried)::bigint AS native_retried,
    sum(sla_met)::bigint AS sla_met, sum(sla_missed)::bigint AS sla_missed, sum(run_seconds_sum) AS run_seconds_sum,
    sum(queue_wait_seconds_sum) AS queue_wait_seconds_sum, sum(held)::bigint AS held, sum(rescued)::bigint AS rescued,
    sum(cancelled_running)::bigint AS cancelled_running, sum(held_seconds_sum) AS held_seconds_sum,
    sum(predicted)::bigint AS predicted, sum(kept)::bigint AS kept, sum(kept_p50)::bigint AS kept_p50 FROM counted
    GROUP BY task_type, queue),
by_bucket AS (SELECT task_type, queue, code, sum(n) AS n FROM (SELECT task_type, queue, bucket + 0 AS code, n
    FROM counted CROSS JOIN LATERAL unnest(run_buckets, run_counts) AS pairs (bucket, n) UNION ALL SELECT task_type,
    queue, bucket + 100000 AS code, n FROM counted CROSS JOIN LATERAL unnest(wait_buckets,
    wait_counts) AS pairs (bucket, n)) AS observed GROUP BY task_type, queue, code),
histograms AS (SELECT task_type, queue, array_agg(code - 0 ORDER BY code) FILTER (WHERE code < 50000) AS run_buckets,
    array_agg(n ORDER BY code) FILTER (WHERE code < 50000) AS run_counts, array_agg(code - 100000
    ORDER BY code) FILTER (WHERE code >= 50000) AS wait_buckets, array_agg(n
    ORDER BY code) FILTER (WHERE code >= 50000) AS wait_counts FROM by_bucket GROUP BY task_type, queue)
SELECT t.*, coalesce(h.run_buckets, '{}') AS run_buckets, coalesce(h.run_counts, '{}') AS run_counts,
    coalesce(h.wait_buckets, '{}') AS wait_buckets, coalesce(h.wait_counts, '{}') AS wait_counts FROM totals t LEFT
    JOIN histograms h USING (task_type, queue) ORDER BY task_type, queue;

-- statement (by caller, in the steps of a window)
WITH counted AS MATERIALIZED (SELECT CASE WHEN '' = ANY(CAST(:names AS text[])) THEN '' ELSE '' END AS name,
    false AS is_named, date_bin(CAST(:step AS interval), day, CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_day
    WHERE day >= CAST(:old_days_since AS timestamptz) AND day < CAST(:old_days_before AS timestamptz) UNION ALL SELECT
    CASE WHEN name = ANY(CAST(:names AS text[])) THEN name ELSE '' END AS name, true AS is_named,
    date_bin(CAST(:step AS interval), day, CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step, submitted, started,
    executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted, uncertain_sendings,
    duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed, run_seconds_sum,
    queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept, kept_p50,
    run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_by_day
    WHERE day >= CAST(:old_days_since AS timestamptz) AND day < CAST(:old_days_before AS timestamptz)
    AND grouped_by = 'caller' UNION ALL SELECT CASE WHEN '' = ANY(CAST(:names AS text[])) THEN '' ELSE '' END AS name,
    false AS is_named, date_bin(CAST(:step AS interval), minute,
    CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step, submitted, started, executions, succeeded, failed,
    cancelled, expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded,
    native_failed, native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, held, rescued,
    cancelled_running, held_seconds_sum, predicted, kept, kept_p50, run_buckets, run_counts, wait_buckets, wait_counts
    FROM task_metrics WHERE minute >= CAST(:first_minutes_since AS timestamptz)
    AND minute < CAST(:first_minutes_before AS timestamptz) UNION ALL SELECT CASE
    WHEN name = ANY(CAST(:names AS text[])) THEN name ELSE '' END AS name, true AS is_named,
    date_bin(CAST(:step AS interval), minute, CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step, submitted,
    started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted, uncertain_sendings,
    duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed, run_seconds_sum,
    queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept, kept_p50,
    run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_by_minute
    WHERE minute >= CAST(:first_minutes_since AS timestamptz) AND minute < CAST(:first_minutes_before AS timestamptz)
    AND grouped_by = 'caller' UNION ALL SELECT CASE WHEN '' = ANY(CAST(:names AS text[])) THEN '' ELSE '' END AS name,
    false AS is_named, date_bin(CAST(:step AS interval), hour, CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_hour
    WHERE hour >= CAST(:first_hours_since AS timestamptz)
    AND hour < CAST(:first_hours_before AS timestamptz) UNION ALL SELECT CASE
    WHEN name = ANY(CAST(:names AS text[])) THEN name ELSE '' END AS name, true AS is_named,
    date_bin(CAST(:step AS interval), hour, CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step, submitted,
    started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted, uncertain_sendings,
    duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed, run_seconds_sum,
    queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept, kept_p50,
    run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_by_hour
    WHERE hour >= CAST(:first_hours_since AS timestamptz) AND hour < CAST(:first_hours_before AS timestamptz)
    AND grouped_by = 'caller' UNION ALL SELECT CASE WHEN '' = ANY(CAST(:names AS text[])) THEN '' ELSE '' END AS name,
    false AS is_named, date_bin(CAST(:step AS interval), day, CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_day
    WHERE day >= CAST(:days_since AS timestamptz) AND day < CAST(:days_before AS timestamptz) UNION ALL SELECT CASE
    WHEN name = ANY(CAST(:names AS text[])) THEN name ELSE '' END AS name, true AS is_named,
    date_bin(CAST(:step AS interval), day, CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step, submitted, started,
    executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted, uncertain_sendings,
    duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed, run_seconds_sum,
    queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept, kept_p50,
    run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_by_day
    WHERE day >= CAST(:days_since AS timestamptz) AND day < CAST(:days_before AS timestamptz)
    AND grouped_by = 'caller' UNION ALL SELECT CASE WHEN '' = ANY(CAST(:names AS text[])) THEN '' ELSE '' END AS name,
    false AS is_named, date_bin(CAST(:step AS interval), hour, CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step,
    submitted, started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted,
    uncertain_sendings, duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed,
    run_seconds_sum, queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept,
    kept_p50, run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_hour
    WHERE hour >= CAST(:last_hours_since AS timestamptz) AND hour < CAST(:last_hours_before AS timestamptz) UNION ALL
    SELECT CASE WHEN name = ANY(CAST(:names AS text[])) THEN name ELSE '' END AS name, true AS is_named,
    date_bin(CAST(:step AS interval), hour, CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step, submitted,
    started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted, uncertain_sendings,
    duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed, run_seconds_sum,
    queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept, kept_p50,
    run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_by_hour
    WHERE hour >= CAST(:last_hours_since AS timestamptz) AND hour < CAST(:last_hours_before AS timestamptz)
    AND grouped_by = 'caller' UNION ALL SELECT CASE WHEN '' = ANY(CAST(:names AS text[])) THEN '' ELSE '' END AS name,
    false AS is_named, date_bin(CAST(:step AS interval), minute,
    CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step, submitted, started, executions, succeeded, failed,
    cancelled, expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded,
    native_failed, native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, held, rescued,
    cancelled_running, held_seconds_sum, predicted, kept, kept_p50, run_buckets, run_counts, wait_buckets, wait_counts
    FROM task_metrics WHERE minute >= CAST(:last_minutes_since AS timestamptz)
    AND minute < CAST(:last_minutes_before AS timestamptz) UNION ALL SELECT CASE
    WHEN name = ANY(CAST(:names AS text[])) THEN name ELSE '' END AS name, true AS is_named,
    date_bin(CAST(:step AS interval), minute, CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step, submitted,
    started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted, uncertain_sendings,
    duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed, run_seconds_sum,
    queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept, kept_p50,
    run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_by_minute
    WHERE minute >= CAST(:last_minutes_since AS timestamptz) AND minute < CAST(:last_minutes_before AS timestamptz)
    AND grouped_by = 'caller' UNION ALL SELECT CASE WHEN '' = ANY(CAST(:names AS text[])) THEN '' ELSE '' END AS name,
    false AS is_named, date_bin(CAST(:step AS interval), minute,
    CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step, submitted, started, executions, succeeded, failed,
    cancelled, expired, retried, timed_out, interrupted, uncertain_sendings, duplicates, native, native_succeeded,
    native_failed, native_retried, sla_met, sla_missed, run_seconds_sum, queue_wait_seconds_sum, held, rescued,
    cancelled_running, held_seconds_sum, predicted, kept, kept_p50, run_buckets, run_counts, wait_buckets, wait_counts
    FROM task_metrics_delta WHERE minute >= CAST(:window_since AS timestamptz)
    AND minute < CAST(:window_before AS timestamptz) UNION ALL SELECT CASE
    WHEN caller = ANY(CAST(:names AS text[])) THEN caller ELSE '' END AS name, true AS is_named,
    date_bin(CAST(:step AS interval), minute, CAST('1970-01-01 00:00:00+00' AS timestamptz)) AS step, submitted,
    started, executions, succeeded, failed, cancelled, expired, retried, timed_out, interrupted, uncertain_sendings,
    duplicates, native, native_succeeded, native_failed, native_retried, sla_met, sla_missed, run_seconds_sum,
    queue_wait_seconds_sum, held, rescued, cancelled_running, held_seconds_sum, predicted, kept, kept_p50,
    run_buckets, run_counts, wait_buckets, wait_counts FROM task_metrics_delta
    WHERE minute >= CAST(:window_since AS timestamptz) AND minute < CAST(:window_before AS timestamptz)
    AND caller IS NOT NULL),
totals AS (SELECT name, is_named, step, sum(submitted)::bigint AS submitted, sum(started)::bigint AS started,
    sum(executions)::bigint AS executions, sum(succeeded)::bigint AS succeeded, sum(failed)::bigint AS failed,
    sum(cancelled)::bigint AS cancelled, sum(expired)::bigint AS expired, sum(retried)::bigint AS retried,
    sum(timed_out)::bigint AS timed_out, sum(interrupted)::bigint AS interrupted,
    sum(uncertain_sendings)::bigint AS uncertain_sendings, sum(duplicates)::bigint AS duplicates,
    sum(native)::bigint AS native, sum(native_succeeded)::bigint AS native_succeeded,
    sum(native_failed)::bigint AS native_failed, sum(native_retried)::bigint AS native_retried,
    sum(sla_met)::bigint AS sla_met, sum(sla_missed)::bigint AS sla_missed, sum(run_seconds_sum) AS run_seconds_sum,
    sum(queue_wait_seconds_sum) AS queue_wait_seconds_sum, sum(held)::bigint AS held, sum(rescued)::bigint AS rescued,
    sum(cancelled_running)::bigint AS cancelled_running, sum(held_seconds_sum) AS held_seconds_sum,
    sum(predicted)::bigint AS predicted, sum(kept)::bigint AS kept, sum(kept_p50)::bigint AS kept_p50 FROM counted
    GROUP BY name, is_named, step),
by_bucket AS (SELECT name, is_named, step, code, sum(n) AS n FROM (SELECT name, is_named, step, bucket + 0 AS code, n
    FROM counted CROSS JOIN LATERAL unnest(run_buckets, run_counts) AS pairs (bucket, n) UNION ALL SELECT name,
    is_named, step, bucket + 100000 AS code, n FROM counted CROSS JOIN LATERAL unnest(wait_buckets,
    wait_counts) AS pairs (bucket, n)) AS observed GROUP BY name, is_named, step, code),
histograms AS (SELECT name, is_named, step, array_agg(code - 0
    ORDER BY code) FILTER (WHERE code < 50000) AS run_buckets, array_agg(n
    ORDER BY code) FILTER (WHERE code < 50000) AS run_counts, array_agg(code - 100000
    ORDER BY code) FILTER (WHERE code >= 50000) AS wait_buckets, array_agg(n
    ORDER BY code) FILTER (WHERE code >= 50000) AS wait_counts FROM by_bucket GROUP BY name, is_named, step)
SELECT t.*, coalesce(h.run_buckets, '{}') AS run_buckets, coalesce(h.run_counts, '{}') AS run_counts,
    coalesce(h.wait_buckets, '{}') AS wait_buckets, coalesce(h.wait_counts, '{}') AS wait_counts FROM totals t LEFT
    JOIN histograms h USING (name, is_named, step) ORDER BY name, is_named, step;

----------------------------------------------------------------------------------------------------------------------
-- store/metrics/totals.py
-- Sums over everything kept, in one row that every process tells.

-- _READ
SELECT sums, took_seconds, greatest(0, extract(epoch FROM clock_timestamp() - taken_at))::float8 AS age_seconds
FROM totals WHERE name = :name;

-- _ALONE
SELECT pg_try_advisory_xact_lock(hashtext('pointsman totals'));

-- _WRITE
-- The clock may have been set back; the row is as new as it is.
INSERT INTO totals (name, sums, taken_at, took_seconds) VALUES (:name, :sums, clock_timestamp(), :took_seconds)
ON CONFLICT (name) DO UPDATE
SET sums = excluded.sums, taken_at = excluded.taken_at, took_seconds = excluded.took_seconds;

----------------------------------------------------------------------------------------------------------------------
-- store/metrics/watching.py
-- The system as a whole: workers, and who leads.

-- WORKERS
SELECT owner, name, pool, queues, processes, pid, host, contract, started_at,
    greatest(0, extract(epoch FROM now() - last_seen_at))::float8 AS heartbeat_age_seconds
FROM worker WHERE last_seen_at > now() - CAST(:seen_within AS float8) * interval '1 second'
ORDER BY name, started_at;

-- LEADS
SELECT name, extract(epoch FROM expires_at - now())::float8 AS left_seconds, holder = '' AS given_up FROM leader;

-- _TASK_TYPES
SELECT count(DISTINCT name) FROM task_type;

----------------------------------------------------------------------------------------------------------------------
-- store/queues/ahead.py
-- What is ahead of a task: unstarted and running ones by queue, priority and type. Bounded, however long the line.

-- _AHEAD
-- The oldest of those that were sent are those that run.
SELECT q.queue, p.priority, f.place, f.task_type, f.worker, f.elapsed, count(*) AS tasks
FROM unnest(CAST(:queues AS text[])) AS q (queue) CROSS JOIN generate_series(0, 10) AS p (priority)
CROSS JOIN LATERAL (
    (SELECT 'waiting' AS place, task_type, CAST(NULL AS text) AS worker, CAST(NULL AS float8) AS elapsed
        FROM task_live WHERE place = 'waiting' AND queue = q.queue AND priority = p.priority
        ORDER BY due_at, id LIMIT :most)
    UNION ALL
    (SELECT CASE state WHEN 'running' THEN 'running' ELSE 'sent' END, task_type,
        CASE state WHEN 'running' THEN worker END,
        CASE state WHEN 'running' THEN extract(epoch FROM now() - started_at)::float8 END
        FROM task_live WHERE place = 'sent' AND queue = q.queue AND priority = p.priority
        ORDER BY sent_at LIMIT :most)
) AS f
GROUP BY q.queue, p.priority, f.place, f.task_type, f.worker, f.elapsed;

-- _BIRTHS
-- The hash of a UUIDv7 is random: by it a sample is drawn that does not depend on who draws it.
WITH born AS MATERIALIZED (
   (SELECT id, queue, priority, task_type, submitted_at FROM task_live
   WHERE id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) AND scheduled_at IS NULL AND delay_seconds IS NULL
   ORDER BY id LIMIT :most)
UNION ALL
   (SELECT id, queue, priority, task_type, submitted_at FROM task
   WHERE id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) AND scheduled_at IS NULL AND delay_seconds IS NULL
   ORDER BY id LIMIT :most)
ORDER BY id LIMIT :most
   ), found AS MATERIALIZED (
       SELECT queue, priority, task_type, submitted_at, count(*) AS tasks FROM born
       GROUP BY queue, priority, task_type, submitted_at
   ), drawn AS MATERIALIZED (
       SELECT d.* FROM (SELECT DISTINCT queue FROM found) AS q CROSS JOIN LATERAL (
           SELECT * FROM born b WHERE b.queue = q.queue ORDER BY uuid_hash_extended(b.id, 0) LIMIT :samples
       ) AS d
   )
   SELECT queue, priority, task_type, submitted_at, tasks, CAST(NULL AS uuid) AS id, 0 AS before FROM found
   UNION ALL
   SELECT d.queue, d.priority, d.task_type, d.submitted_at, 0, d.id, count(b.id) FROM drawn d LEFT JOIN born b
       ON (b.queue, b.priority, b.submitted_at) = (d.queue, d.priority, d.submitted_at) AND b.id < d.id
   GROUP BY d.queue, d.priority, d.task_type, d.submitted_at, d.id
   ORDER BY submitted_at;

-- _NOW
SELECT now();

----------------------------------------------------------------------------------------------------------------------
-- store/queues/backlog.py
-- How many tasks are unfinished, by queue, state and reason: kept, not counted.

-- UNFINISHED
-- The oldest of a queue by one probe of the index for each priority: the minimum of a whole queue would read all of it.
WITH kept AS (
        SELECT queue, state, held_reason, sum(tasks)::bigint AS tasks FROM (
            SELECT queue, state, held_reason, tasks FROM backlog
            UNION ALL SELECT queue, state, held_reason, tasks FROM backlog_delta
            UNION ALL SELECT queue, 'queued', '', born_waiting FROM task_metrics_delta WHERE born_waiting > 0
            UNION ALL SELECT queue, 'scheduled', '', born_asleep FROM task_metrics_delta WHERE born_asleep > 0
        ) AS numbers GROUP BY queue, state, held_reason
), sent AS (
        SELECT queue, state, count(*) AS tasks, min(due_at) AS oldest FROM task_live WHERE place = 'sent'
        GROUP BY queue, state
    )
    SELECT k.queue, k.state, nullif(k.held_reason, '') AS held_reason, k.tasks, false AS sent,
        CASE WHEN k.state = 'queued' THEN (
            SELECT greatest(0, extract(epoch FROM now() - min(t.due_at)))::float8
            FROM generate_series(0, 10) AS p (priority) CROSS JOIN LATERAL (
                SELECT t.due_at FROM task_live t
                WHERE t.place = 'waiting' AND t.queue = k.queue AND t.priority = p.priority ORDER BY t.due_at LIMIT 1
            ) AS t
        ) END AS oldest_seconds
    FROM kept k WHERE k.tasks > 0
    UNION ALL
    SELECT s.queue, s.state, NULL, s.tasks, true, greatest(0, extract(epoch FROM now() - s.oldest))::float8
        FROM sent s;

-- _OF_ONE
WITH kept AS (
        SELECT queue, state, held_reason, sum(tasks)::bigint AS tasks FROM (
            SELECT queue, state, held_reason, tasks FROM backlog
            UNION ALL SELECT queue, state, held_reason, tasks FROM backlog_delta
            UNION ALL SELECT queue, 'queued', '', born_waiting FROM task_metrics_delta WHERE born_waiting > 0
            UNION ALL SELECT queue, 'scheduled', '', born_asleep FROM task_metrics_delta WHERE born_asleep > 0
        ) AS numbers WHERE queue = :queue AND state = 'queued' GROUP BY queue, state, held_reason
)
    SELECT greatest(0, coalesce((SELECT sum(tasks) FROM kept), 0))::bigint AS waiting,
        count(*) FILTER (WHERE state = 'queued') AS sent, count(*) FILTER (WHERE state = 'running') AS running
    FROM task_live WHERE place = 'sent' AND queue = :queue;

-- _LOCK
SELECT pg_advisory_xact_lock(hashtext('pointsman backlog'));

-- _FOLD
-- Who reads meanwhile sees a number before and its delta, or the sum of both.
WITH taken AS (
    DELETE FROM backlog_delta WHERE id IN (SELECT id FROM backlog_delta ORDER BY id LIMIT :most)
    RETURNING queue, state, held_reason, tasks
), folded AS (
    INSERT INTO backlog AS old (queue, state, held_reason, tasks)
    SELECT queue, state, held_reason, sum(tasks) FROM taken GROUP BY queue, state, held_reason
    HAVING sum(tasks) <> 0
    ON CONFLICT (queue, state, held_reason) DO UPDATE SET tasks = old.tasks + excluded.tasks
)
SELECT count(*) FROM taken;

-- _FORGET
DELETE FROM backlog WHERE tasks = 0;

-- _MEND_WAITING
-- Each counts what an index has.
WITH found AS (
        SELECT queue, 'queued' AS state, '' AS held_reason, count(*) AS tasks
        FROM task_live WHERE place = 'waiting' GROUP BY queue
    ), kept AS (
        SELECT queue, state, held_reason, sum(tasks)::bigint AS tasks FROM (
            SELECT queue, state, held_reason, tasks FROM backlog
            UNION ALL SELECT queue, state, held_reason, tasks FROM backlog_delta
            UNION ALL SELECT queue, 'queued', '', born_waiting FROM task_metrics_delta WHERE born_waiting > 0
            UNION ALL SELECT queue, 'scheduled', '', born_asleep FROM task_metrics_delta WHERE born_asleep > 0
        ) AS numbers WHERE state = ANY(CAST('{queued}' AS text[])) GROUP BY queue, state, held_reason
)
    INSERT INTO backlog_delta (queue, state, held_reason, tasks)
    SELECT queue, state, held_reason, coalesce(f.tasks, 0) - coalesce(k.tasks, 0)
    FROM found f FULL JOIN kept k USING (queue, state, held_reason)
    WHERE coalesce(f.tasks, 0) <> coalesce(k.tasks, 0)
    RETURNING queue, state, held_reason, tasks;

-- _MEND_HELD
WITH found AS (
        SELECT queue, 'held' AS state, coalesce(held_reason, '') AS held_reason, count(*) AS tasks
        FROM task_live WHERE place = 'held' GROUP BY held_reason, queue
    ), kept AS (
        SELECT queue, state, held_reason, sum(tasks)::bigint AS tasks FROM (
            SELECT queue, state, held_reason, tasks FROM backlog
            UNION ALL SELECT queue, state, held_reason, tasks FROM backlog_delta
            UNION ALL SELECT queue, 'queued', '', born_waiting FROM task_metrics_delta WHERE born_waiting > 0
            UNION ALL SELECT queue, 'scheduled', '', born_asleep FROM task_metrics_delta WHERE born_asleep > 0
        ) AS numbers WHERE state = ANY(CAST('{held}' AS text[])) GROUP BY queue, state, held_reason
)
    INSERT INTO backlog_delta (queue, state, held_reason, tasks)
    SELECT queue, state, held_reason, coalesce(f.tasks, 0) - coalesce(k.tasks, 0)
    FROM found f FULL JOIN kept k USING (queue, state, held_reason)
    WHERE coalesce(f.tasks, 0) <> coalesce(k.tasks, 0)
    RETURNING queue, state, held_reason, tasks;

-- _MEND_ASLEEP
WITH found AS (
        SELECT queue, state AS state, '' AS held_reason, count(*) AS tasks
        FROM task_live WHERE place = 'asleep' GROUP BY queue, state
    ), kept AS (
        SELECT queue, state, held_reason, sum(tasks)::bigint AS tasks FROM (
            SELECT queue, state, held_reason, tasks FROM backlog
            UNION ALL SELECT queue, state, held_reason, tasks FROM backlog_delta
            UNION ALL SELECT queue, 'queued', '', born_waiting FROM task_metrics_delta WHERE born_waiting > 0
            UNION ALL SELECT queue, 'scheduled', '', born_asleep FROM task_metrics_delta WHERE born_asleep > 0
        ) AS numbers WHERE state = ANY(CAST('{scheduled,retrying}' AS text[])) GROUP BY queue, state, held_reason
)
    INSERT INTO backlog_delta (queue, state, held_reason, tasks)
    SELECT queue, state, held_reason, coalesce(f.tasks, 0) - coalesce(k.tasks, 0)
    FROM found f FULL JOIN kept k USING (queue, state, held_reason)
    WHERE coalesce(f.tasks, 0) <> coalesce(k.tasks, 0)
    RETURNING queue, state, held_reason, tasks;

----------------------------------------------------------------------------------------------------------------------
-- store/queues/dispatching.py
-- The rows the dispatcher and its sweeps move between Postgres and the broker.

-- _WAITING
SELECT queue FROM unnest(CAST(:queues AS text[])) AS known (queue)
WHERE NOT EXISTS (SELECT FROM queue_pause p WHERE p.queue = known.queue AND p.paused)
    AND EXISTS (SELECT FROM task_live t WHERE t.place = 'waiting' AND t.queue = known.queue
    AND t.cancel_requested_at IS NULL);

-- _TOP_UP_ALL
-- Rows are passed over that others have locked, for these are sent, cancelled or held at this moment. The outbox row is
-- there until they are published: who dies before that leaves it to the reconciler.
WITH chosen AS (
    SELECT id FROM task_live WHERE place = 'waiting' AND queue = :queue AND cancel_requested_at IS NULL
        AND NOT EXISTS (SELECT FROM queue_pause p WHERE p.queue = CAST(:queue AS text) AND p.paused)
    ORDER BY priority DESC, due_at, id LIMIT :room FOR UPDATE SKIP LOCKED
), sent AS (
    UPDATE task_live t SET place = 'sent', dispatch = t.dispatch + 1, sent_epoch = :epoch, sent_at = now(),
        alone = false
    FROM chosen WHERE t.id = chosen.id
    RETURNING t.id AS task_id, t.task_type AS task_type, t.queue AS queue, t.priority AS priority, t.args AS args,
        t.kwargs AS kwargs, t.timeout_seconds AS timeout_seconds, t.dispatch AS dispatch, t.attempt AS after,
        t.max_attempts AS max_attempts, extract(epoch FROM t.expires_at)::float8 AS expires_at,
        t.traceparent AS traceparent, t.interruptions AS interruptions, coalesce(t.dependencies,
        ARRAY[]::text[]) AS dependencies, t.due_at
), boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(task_id) FROM sent HAVING count(*) > 0 RETURNING id
), waits_no_more AS (
    INSERT INTO backlog_delta (queue, state, tasks)
    SELECT CAST(:queue AS text), 'queued', -count(*) FROM sent HAVING count(*) > 0
)
SELECT sent.*, boxed.id AS outbox_id FROM sent CROSS JOIN boxed ORDER BY priority DESC, due_at, task_id;

-- _TOP_UP_ALONE
-- Rows are passed over that others have locked, for these are sent, cancelled or held at this moment. The outbox row is
-- there until they are published: who dies before that leaves it to the reconciler.
WITH chosen AS (
    SELECT id FROM task_live WHERE place = 'waiting' AND queue = :queue AND cancel_requested_at IS NULL
        AND id IN (SELECT task_id FROM quarantine_queue WHERE queue = :queue)
        AND NOT EXISTS (SELECT FROM queue_pause p WHERE p.queue = CAST(:queue AS text) AND p.paused)
    ORDER BY priority DESC, due_at, id LIMIT :room FOR UPDATE SKIP LOCKED
), sent AS (
    UPDATE task_live t SET place = 'sent', dispatch = t.dispatch + 1, sent_epoch = :epoch, sent_at = now(),
        alone = false
    FROM chosen WHERE t.id = chosen.id
    RETURNING t.id AS task_id, t.task_type AS task_type, t.queue AS queue, t.priority AS priority, t.args AS args,
        t.kwargs AS kwargs, t.timeout_seconds AS timeout_seconds, t.dispatch AS dispatch, t.attempt AS after,
        t.max_attempts AS max_attempts, extract(epoch FROM t.expires_at)::float8 AS expires_at,
        t.traceparent AS traceparent, t.interruptions AS interruptions, coalesce(t.dependencies,
        ARRAY[]::text[]) AS dependencies, t.due_at
), boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(task_id) FROM sent HAVING count(*) > 0 RETURNING id
), waits_no_more AS (
    INSERT INTO backlog_delta (queue, state, tasks)
    SELECT CAST(:queue AS text), 'queued', -count(*) FROM sent HAVING count(*) > 0
)
SELECT sent.*, boxed.id AS outbox_id FROM sent CROSS JOIN boxed ORDER BY priority DESC, due_at, task_id;

-- _SORT_OUT
WITH f AS (
    SELECT id, task_type, dependencies, priority, due_at FROM task_live
    WHERE place = 'waiting' AND queue = :queue AND cancel_requested_at IS NULL AND NOT EXISTS (SELECT
        FROM queue_pause p WHERE p.queue = CAST(:queue AS text) AND p.paused)
    ORDER BY priority DESC, due_at, id LIMIT :looked_at FOR UPDATE SKIP LOCKED
), judged AS (
    SELECT f.*, (SELECT b.scope || ':' || b.name FROM breaker b WHERE b.seen IN ('open', 'half_open', 'forced_open')
AND ((b.scope = 'task_type' AND b.name = f.task_type)
    OR (b.scope = 'dependency' AND b.name = ANY(f.dependencies)))
AND NOT (b.seen = 'half_open'
    AND coalesce((b.machine -> 'permits' ->> f.id::text)::float8 > extract(epoch FROM now()), false))
        ORDER BY b.scope, b.name LIMIT 1) AS held_by FROM f
), held AS (
    UPDATE task_live t SET state = 'held', place = 'held', held_at = now(), alone = false,
        held_reason = 'breaker:' || j.held_by FROM judged j
    WHERE t.id = j.id AND j.held_by IS NOT NULL RETURNING t.id
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM held WHERE EXISTS (SELECT FROM live_listening
    WHERE until > now()) HAVING count(*) > 0), chosen AS (
    SELECT id FROM judged WHERE held_by IS NULL ORDER BY priority DESC, due_at, id LIMIT :room
), sent AS (
    UPDATE task_live t SET place = 'sent', dispatch = t.dispatch + 1, sent_epoch = :epoch, sent_at = now(),
        alone = false
    FROM chosen WHERE t.id = chosen.id
    RETURNING t.id AS task_id, t.task_type AS task_type, t.queue AS queue, t.priority AS priority, t.args AS args,
        t.kwargs AS kwargs, t.timeout_seconds AS timeout_seconds, t.dispatch AS dispatch, t.attempt AS after,
        t.max_attempts AS max_attempts, extract(epoch FROM t.expires_at)::float8 AS expires_at,
        t.traceparent AS traceparent, t.interruptions AS interruptions, coalesce(t.dependencies,
        ARRAY[]::text[]) AS dependencies, t.due_at
), boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(task_id) FROM sent HAVING count(*) > 0 RETURNING id
), waits_no_more AS (
    INSERT INTO backlog_delta (queue, state, tasks)
    SELECT CAST(:queue AS text), 'queued', -count(*) FROM sent HAVING count(*) > 0
)
SELECT sent.*, boxed.id AS outbox_id, found.held FROM (SELECT count(*) AS held FROM held) AS found
LEFT JOIN (sent CROSS JOIN boxed) ON true ORDER BY priority DESC, due_at, sent.task_id;

-- _TAKE_TURNS
WITH f AS (SELECT t.* FROM unnest(CAST(:caller AS text[]), CAST(:key AS text[]),
    CAST(:most AS integer[])) AS w (caller, key, most) CROSS JOIN LATERAL (
        SELECT t.id, t.task_type, t.dependencies FROM task_live t
        WHERE t.place = 'waiting' AND NOT t.alone
            AND (t.queue, t.priority, t.caller, t.fairness_key)
                >= (CAST(:queue AS text), CAST(:priority AS smallint), w.caller, w.key)
            AND (t.queue, t.priority, t.caller, t.fairness_key)
                <= (CAST(:queue AS text), CAST(:priority AS smallint), w.caller, w.key)
            AND t.cancel_requested_at IS NULL AND NOT EXISTS (SELECT FROM queue_pause p
                WHERE p.queue = CAST(:queue AS text) AND p.paused)
        ORDER BY t.queue, t.priority, t.caller, t.fairness_key, t.due_at, t.id LIMIT w.most FOR UPDATE SKIP LOCKED
    ) AS t LIMIT :room), held AS (SELECT FROM f WHERE false), chosen AS (SELECT id FROM f), sent AS (
    UPDATE task_live t SET place = 'sent', dispatch = t.dispatch + 1, sent_epoch = :epoch, sent_at = now(),
        alone = false
    FROM chosen WHERE t.id = chosen.id
    RETURNING t.id AS task_id, t.task_type AS task_type, t.queue AS queue, t.priority AS priority, t.args AS args,
        t.kwargs AS kwargs, t.timeout_seconds AS timeout_seconds, t.dispatch AS dispatch, t.attempt AS after,
        t.max_attempts AS max_attempts, extract(epoch FROM t.expires_at)::float8 AS expires_at,
        t.traceparent AS traceparent, t.interruptions AS interruptions, coalesce(t.dependencies,
        ARRAY[]::text[]) AS dependencies, t.due_at, t.caller, t.fairness_key
), boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(task_id) FROM sent HAVING count(*) > 0 RETURNING id
), waits_no_more AS (
    INSERT INTO backlog_delta (queue, state, tasks)
    SELECT CAST(:queue AS text), 'queued', -count(*) FROM sent HAVING count(*) > 0
)
SELECT sent.*, boxed.id AS outbox_id, found.held FROM (SELECT count(*) AS held FROM held) AS found
LEFT JOIN (sent CROSS JOIN boxed) ON true ORDER BY priority DESC, due_at, sent.task_id;

-- _SORT_OUT_TURNS
WITH f AS (SELECT t.* FROM unnest(CAST(:caller AS text[]), CAST(:key AS text[]),
    CAST(:most AS integer[])) AS w (caller, key, most) CROSS JOIN LATERAL (
        SELECT t.id, t.task_type, t.dependencies FROM task_live t
        WHERE t.place = 'waiting' AND NOT t.alone
            AND (t.queue, t.priority, t.caller, t.fairness_key)
                >= (CAST(:queue AS text), CAST(:priority AS smallint), w.caller, w.key)
            AND (t.queue, t.priority, t.caller, t.fairness_key)
                <= (CAST(:queue AS text), CAST(:priority AS smallint), w.caller, w.key)
            AND t.cancel_requested_at IS NULL AND NOT EXISTS (SELECT FROM queue_pause p
                WHERE p.queue = CAST(:queue AS text) AND p.paused)
        ORDER BY t.queue, t.priority, t.caller, t.fairness_key, t.due_at, t.id LIMIT w.most FOR UPDATE SKIP LOCKED
    ) AS t LIMIT :room), judged AS (
    SELECT f.*, (SELECT b.scope || ':' || b.name FROM breaker b WHERE b.seen IN ('open', 'half_open', 'forced_open')
AND ((b.scope = 'task_type' AND b.name = f.task_type)
    OR (b.scope = 'dependency' AND b.name = ANY(f.dependencies)))
AND NOT (b.seen = 'half_open'
    AND coalesce((b.machine -> 'permits' ->> f.id::text)::float8 > extract(epoch FROM now()), false))
        ORDER BY b.scope, b.name LIMIT 1) AS held_by FROM f
), held AS (
    UPDATE task_live t SET state = 'held', place = 'held', held_at = now(), alone = false,
        held_reason = 'breaker:' || j.held_by FROM judged j
    WHERE t.id = j.id AND j.held_by IS NOT NULL RETURNING t.id
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM held WHERE EXISTS (SELECT FROM live_listening
    WHERE until > now()) HAVING count(*) > 0), chosen AS (SELECT id FROM judged WHERE held_by IS NULL), sent AS (
    UPDATE task_live t SET place = 'sent', dispatch = t.dispatch + 1, sent_epoch = :epoch, sent_at = now(),
        alone = false
    FROM chosen WHERE t.id = chosen.id
    RETURNING t.id AS task_id, t.task_type AS task_type, t.queue AS queue, t.priority AS priority, t.args AS args,
        t.kwargs AS kwargs, t.timeout_seconds AS timeout_seconds, t.dispatch AS dispatch, t.attempt AS after,
        t.max_attempts AS max_attempts, extract(epoch FROM t.expires_at)::float8 AS expires_at,
        t.traceparent AS traceparent, t.interruptions AS interruptions, coalesce(t.dependencies,
        ARRAY[]::text[]) AS dependencies, t.due_at, t.caller, t.fairness_key
), boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(task_id) FROM sent HAVING count(*) > 0 RETURNING id
), waits_no_more AS (
    INSERT INTO backlog_delta (queue, state, tasks)
    SELECT CAST(:queue AS text), 'queued', -count(*) FROM sent HAVING count(*) > 0
)
SELECT sent.*, boxed.id AS outbox_id, found.held FROM (SELECT count(*) AS held FROM held) AS found
LEFT JOIN (sent CROSS JOIN boxed) ON true ORDER BY priority DESC, due_at, sent.task_id;

-- _WAKE
-- What is to be cancelled does not become due, or it might start before its cancel is done.
WITH due AS (
    SELECT id, state FROM task_live WHERE place = 'asleep' AND due_at <= now() AND cancel_requested_at IS NULL
    ORDER BY due_at LIMIT :most FOR UPDATE SKIP LOCKED
), woken AS (
    UPDATE task_live t SET place = 'waiting', state = 'queued' FROM due WHERE t.id = due.id
    RETURNING t.id, t.queue, due.state AS was
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM woken WHERE EXISTS (SELECT
    FROM live_listening WHERE until > now()) HAVING count(*) > 0), counted AS (
    INSERT INTO backlog_delta (queue, state, tasks)
    SELECT queue, was, -count(*) FROM woken GROUP BY queue, was
    UNION ALL SELECT queue, 'queued', count(*) FROM woken GROUP BY queue
)
SELECT count(*) FROM woken;

-- _LEFT_BEHIND
-- Whether it was published before its sender died is not known: sent again, its claim lets only one of two run.
WITH old AS (
    DELETE FROM outbox WHERE id IN (
        SELECT id FROM outbox WHERE created_at < now() - CAST(:age AS float8) * interval '1 second'
        ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING task_ids
), ids AS (SELECT unnest(task_ids) AS id FROM old)
, unseen AS (
    SELECT t.id FROM task_live t JOIN ids USING (id) WHERE t.place = 'sent' AND t.state = 'queued'
    ORDER BY t.id FOR UPDATE OF t
), again AS (
    UPDATE task_live t SET place = 'waiting' FROM unseen u WHERE t.id = u.id RETURNING t.id
)
SELECT (SELECT count(*) FROM old) AS outbox_rows, (SELECT count(*) FROM again) AS tasks;

-- _EXPIRED
-- Two questions, as an index answers each: a task that was never sent needs no claim to end.
(SELECT id, attempt, false AS sent FROM task_live
    WHERE expires_at <= now() AND place <> 'sent' AND dispatch = 0 ORDER BY expires_at LIMIT :most)
UNION ALL
(SELECT id, attempt, true FROM task_live
    WHERE expires_at <= now() AND state <> 'running' AND dispatch > 0 ORDER BY expires_at LIMIT :most);

----------------------------------------------------------------------------------------------------------------------
-- store/queues/held.py
-- What each circuit breaker holds: tasks by type, counted as far as that costs little, and which of them go first.

-- _OF_MANY
WITH RECURSIVE types AS (
    SELECT r.reason, f.task_type, 1 AS number
    FROM unnest(CAST(:reasons AS text[])) AS r (reason) CROSS JOIN LATERAL (
        SELECT t.task_type FROM task_live t WHERE t.place = 'held' AND t.held_reason = r.reason
        ORDER BY t.task_type, t.queue LIMIT 1) AS f
    UNION ALL
    SELECT p.reason, f.task_type, p.number + 1 FROM types p CROSS JOIN LATERAL (
        SELECT t.task_type FROM task_live t WHERE t.place = 'held' AND t.held_reason = p.reason
            AND t.task_type > p.task_type
        ORDER BY t.task_type, t.queue LIMIT 1) AS f WHERE p.number < 5
)
SELECT p.reason, p.task_type, c.tasks, c.since FROM types p CROSS JOIN LATERAL (
    SELECT count(*)::int AS tasks, min(held_at) AS since FROM (
        SELECT t.held_at FROM task_live t
        WHERE t.place = 'held' AND t.held_reason = p.reason AND t.task_type BETWEEN p.task_type AND p.task_type
        ORDER BY t.task_type, t.queue LIMIT 500) AS first_ones) AS c;

-- _OF_ONE
WITH RECURSIVE types AS (
    SELECT r.reason, f.task_type, 1 AS number
    FROM unnest(CAST(:reasons AS text[])) AS r (reason) CROSS JOIN LATERAL (
        SELECT t.task_type FROM task_live t WHERE t.place = 'held' AND t.held_reason = r.reason
        ORDER BY t.task_type, t.queue LIMIT 1) AS f
    UNION ALL
    SELECT p.reason, f.task_type, p.number + 1 FROM types p CROSS JOIN LATERAL (
        SELECT t.task_type FROM task_live t WHERE t.place = 'held' AND t.held_reason = p.reason
            AND t.task_type > p.task_type
        ORDER BY t.task_type, t.queue LIMIT 1) AS f WHERE p.number < 20
)
SELECT p.reason, p.task_type, c.tasks, c.since FROM types p CROSS JOIN LATERAL (
    SELECT count(*)::int AS tasks, min(held_at) AS since FROM (
        SELECT t.held_at FROM task_live t
        WHERE t.place = 'held' AND t.held_reason = p.reason AND t.task_type BETWEEN p.task_type AND p.task_type
        ORDER BY t.task_type, t.queue LIMIT 2000) AS first_ones) AS c;

-- _FIRST
SELECT id, task_type, queue, priority, held_at, due_at FROM task_live
WHERE place = 'held' AND held_reason = :reason
ORDER BY priority DESC, due_at, id LIMIT :most;

----------------------------------------------------------------------------------------------------------------------
-- store/queues/holding.py
-- Tasks held back in Postgres: by which circuit breaker, since when, and let go again.

-- _REASONS
-- Skips from one reason to the next in the index, however many tasks each has.
WITH RECURSIVE reasons AS (
    (SELECT held_reason FROM task_live WHERE place = 'held' ORDER BY held_reason LIMIT 1)
    UNION ALL
    SELECT (SELECT t.held_reason FROM task_live t WHERE t.place = 'held' AND t.held_reason > r.held_reason
        ORDER BY t.held_reason LIMIT 1)
    FROM reasons r WHERE r.held_reason IS NOT NULL
)
SELECT held_reason FROM reasons WHERE held_reason IS NOT NULL;

-- _RELEASE
WITH f AS (
    SELECT id, task_type, dependencies, interrupted_in_a_row >= 5 AS alone FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL
    ORDER BY priority DESC, due_at, id LIMIT :most FOR UPDATE SKIP LOCKED
), judged AS (
    SELECT id, coalesce('breaker:' || (SELECT b.scope || ':' || b.name FROM breaker b WHERE b.seen IN ('open',
        'half_open', 'forced_open')
AND ((b.scope = 'task_type' AND b.name = f.task_type)
    OR (b.scope = 'dependency' AND b.name = ANY(f.dependencies)))
AND NOT (b.seen = 'half_open'
    AND coalesce((b.machine -> 'permits' ->> f.id::text)::float8 > extract(epoch FROM now()), false))
        ORDER BY b.scope, b.name LIMIT 1), CASE WHEN f.alone THEN 'quarantine' END) AS held_by FROM f
), passed_on AS (
    UPDATE task_live t SET held_reason = j.held_by FROM judged j WHERE t.id = j.id AND j.held_by IS NOT NULL
), let_go AS (
    UPDATE task_live t SET state = 'queued', place = 'waiting', held_reason = NULL, held_at = NULL,
held_seconds = t.held_seconds + CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch
    FROM now() - t.held_at)::float8) END,
held_wait_seconds = t.held_wait_seconds + CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch
    FROM now() - greatest(t.held_at, t.due_at))::float8) END FROM judged j WHERE t.id = j.id AND j.held_by IS NULL
    RETURNING t.id
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM let_go WHERE EXISTS (SELECT
    FROM live_listening WHERE until > now()) HAVING count(*) > 0)
SELECT count(*) FROM let_go;

-- _RELEASE_THESE
WITH f AS (
    SELECT id, task_type, dependencies, interrupted_in_a_row >= 5 AS alone FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL AND id = ANY(CAST(:ids AS uuid[]))
    ORDER BY priority DESC, due_at, id LIMIT :most FOR UPDATE SKIP LOCKED
), judged AS (
    SELECT id, coalesce('breaker:' || (SELECT b.scope || ':' || b.name FROM breaker b WHERE b.seen IN ('open',
        'half_open', 'forced_open')
AND ((b.scope = 'task_type' AND b.name = f.task_type)
    OR (b.scope = 'dependency' AND b.name = ANY(f.dependencies)))
AND NOT (b.seen = 'half_open'
    AND coalesce((b.machine -> 'permits' ->> f.id::text)::float8 > extract(epoch FROM now()), false))
        ORDER BY b.scope, b.name LIMIT 1), CASE WHEN f.alone THEN 'quarantine' END) AS held_by FROM f
), passed_on AS (
    UPDATE task_live t SET held_reason = j.held_by FROM judged j WHERE t.id = j.id AND j.held_by IS NOT NULL
), let_go AS (
    UPDATE task_live t SET state = 'queued', place = 'waiting', held_reason = NULL, held_at = NULL,
held_seconds = t.held_seconds + CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch
    FROM now() - t.held_at)::float8) END,
held_wait_seconds = t.held_wait_seconds + CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch
    FROM now() - greatest(t.held_at, t.due_at))::float8) END FROM judged j WHERE t.id = j.id AND j.held_by IS NULL
    RETURNING t.id
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM let_go WHERE EXISTS (SELECT
    FROM live_listening WHERE until > now()) HAVING count(*) > 0)
SELECT count(*) FROM let_go;

-- _PROBES
WITH living AS (
    SELECT unnest(queues) AS queue FROM worker
    WHERE last_seen_at > now() - CAST(:dead_seconds AS float8) * interval '1 second'
)
SELECT f.id FROM (
    SELECT id, task_type, dependencies, priority, due_at FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL
        AND NOT id = ANY(CAST(:have AS uuid[]))
        AND coalesce(NOT queue = ANY(ARRAY(SELECT queue FROM queue_pause WHERE paused)), false)
        AND coalesce(queue = ANY(ARRAY(SELECT queue FROM living)) OR NOT EXISTS (SELECT FROM living), false)
    ORDER BY priority DESC, due_at, id LIMIT 1000
) AS f
WHERE NOT EXISTS (
    SELECT FROM breaker b WHERE b.seen IN ('open', 'half_open', 'forced_open')
AND ((b.scope = 'task_type' AND b.name = f.task_type)
    OR (b.scope = 'dependency' AND b.name = ANY(f.dependencies)))
AND NOT (b.seen = 'half_open'
    AND coalesce((b.machine -> 'permits' ->> f.id::text)::float8 > extract(epoch FROM now()), false))
        AND b.seen <> 'half_open'
        AND (b.scope, b.name) <> (CAST(:scope AS text), CAST(:name AS text)))
ORDER BY priority DESC, due_at, id LIMIT :most;

-- _PASS_ON
-- What an open breaker holds as well is no probe, however much of it stands in front.
WITH f AS (
    SELECT id, task_type, dependencies FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL
    ORDER BY priority DESC, due_at, id LIMIT 1000 FOR UPDATE SKIP LOCKED
), judged AS (
    SELECT f.id, (SELECT b.scope || ':' || b.name FROM breaker b WHERE b.seen IN ('open', 'half_open', 'forced_open')
AND ((b.scope = 'task_type' AND b.name = f.task_type)
    OR (b.scope = 'dependency' AND b.name = ANY(f.dependencies)))
AND NOT (b.seen = 'half_open'
    AND coalesce((b.machine -> 'permits' ->> f.id::text)::float8 > extract(epoch FROM now()), false))
        AND b.seen <> 'half_open'
        AND (b.scope, b.name) <> (CAST(:scope AS text), CAST(:name AS text))
        ORDER BY b.scope, b.name LIMIT 1) AS held_by FROM f
)
UPDATE task_live t SET held_reason = 'breaker:' || j.held_by FROM judged j
WHERE t.id = j.id AND j.held_by IS NOT NULL;

-- _LET_PROBES_GO
WITH probes AS (
    SELECT id FROM task_live WHERE id = ANY(CAST(:ids AS uuid[])) AND place = 'held' AND held_reason = :reason
        AND cancel_requested_at IS NULL
    ORDER BY id FOR UPDATE
), let_go AS (
    UPDATE task_live t SET state = 'queued', place = 'waiting', held_reason = NULL, held_at = NULL,
held_seconds = t.held_seconds + CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch
    FROM now() - t.held_at)::float8) END,
held_wait_seconds = t.held_wait_seconds + CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch
    FROM now() - greatest(t.held_at, t.due_at))::float8) END FROM probes p WHERE t.id = p.id RETURNING t.id
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM let_go WHERE EXISTS (SELECT
    FROM live_listening WHERE until > now()) HAVING count(*) > 0)
SELECT id FROM let_go;

-- _RUNNING_PROBES
-- Other services lease permits, too: those name no task.
SELECT b.scope, b.name, p.permit FROM breaker b
CROSS JOIN LATERAL jsonb_each_text(coalesce(b.machine -> 'permits', '{}')) AS p (permit, until)
JOIN task_live t ON t.id =
    CASE WHEN p.permit ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN p.permit::uuid END
WHERE b.seen = 'half_open' AND b.scope <> 'worker' AND t.state = 'running'
    AND p.until::float8 - extract(epoch FROM now())
        < coalesce((b.policy ->> 'permit_seconds')::float8, :permit_seconds) / 2;

-- _LOST_PROBES
-- Nothing comes of them any more: they ended without an attempt, or wait for something else than a permit of another
-- breaker. What ends by an attempt gives its permit back in the transaction that ends it.
SELECT p.scope, p.name, p.permit FROM (
    SELECT b.scope, b.name, p.permit,
        CASE WHEN p.permit ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN p.permit::uuid END
            AS task_id
    FROM breaker b CROSS JOIN LATERAL jsonb_each_text(coalesce(b.machine -> 'permits', '{}')) AS p (permit, until)
    WHERE b.seen = 'half_open' AND b.scope <> 'worker' AND p.until::float8 > extract(epoch FROM now())
) AS p
WHERE EXISTS (SELECT FROM task t WHERE t.id = p.task_id)
    OR EXISTS (SELECT FROM task_live t WHERE t.id = p.task_id AND t.state <> 'running' AND (
        t.cancel_requested_at IS NOT NULL OR t.place = 'asleep'
        OR (t.place = 'held' AND t.held_reason <> 'breaker:' || p.scope || ':' || p.name AND NOT EXISTS (
            SELECT FROM breaker o
            WHERE o.seen = 'half_open' AND t.held_reason = 'breaker:' || o.scope || ':' || o.name))));

-- _FAIL_FAST
-- One probe of the index for each type: what is held of others, however much, is not looked at. Only a range with an
-- order makes the planner take the index: 0.3 ms with 100,000 of others, 59 ms by equality.
SELECT t.id, t.attempt, t.dispatch = 0 AS never_sent FROM unnest(CAST(:task_types AS text[])) AS known (task_type)
CROSS JOIN LATERAL (
    SELECT id, attempt, dispatch FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL
        AND task_type BETWEEN known.task_type AND known.task_type
        AND NOT id = ANY(CAST(:spared AS uuid[]))
    ORDER BY task_type LIMIT :most) AS t
LIMIT :most;

-- _BLOCKING
SELECT scope, name, seen, CASE b.seen WHEN 'open' THEN b.turns_at
    WHEN 'forced_open' THEN CASE WHEN b.machine -> 'override' ->> 'expires_at' IS NOT NULL THEN greatest(
        to_timestamp((b.machine -> 'override' ->> 'expires_at')::float8),
        CASE b.machine ->> 'state' WHEN 'open' THEN to_timestamp((b.machine ->> 'retry_at')::float8) END) END
END AS lets_through_at, seen = 'half_open'
        AND NOT EXISTS (SELECT FROM task_live t
            WHERE t.place = 'held' AND t.held_reason = 'breaker:' || b.scope || ':' || b.name)
        AND (SELECT count(*) FROM jsonb_each_text(coalesce(b.machine -> 'permits', '{}')) p
            WHERE p.value::float8 > extract(epoch FROM now()))
            < coalesce((b.policy ->> 'half_open_permits')::int, :permits) AS lacks_probes,
        coalesce(b.seen = 'half_open' AND (b.machine ->> 'is_doubted')::boolean
        AND b.machine ->> 'resumes_at' IS NULL, false) AS is_doubt
    FROM breaker b
    WHERE seen <> 'closed' AND seen <> 'disabled' AND scope <> 'worker' ORDER BY scope, name;

-- _ANY_BLOCKING
SELECT EXISTS (SELECT FROM breaker WHERE seen <> 'closed' AND seen <> 'disabled' AND scope <> 'worker');

----------------------------------------------------------------------------------------------------------------------
-- store/queues/of_callers.py
-- How many tasks of a caller wait for their start: counted, and no further than a quota goes.

-- _WAITING
-- A probe of the index of shares for each queue and priority, and as many of its rows as a quota has: a task that is
-- counted is in it (``NewTask.is_counted``). Those on the broker are as few as the windows of queues are. Only a range
-- with an order makes the planner take that index.
SELECT c.caller, w.tasks + coalesce(s.tasks, 0) AS tasks
FROM unnest(CAST(:callers AS text[]), CAST(:most AS bigint[])) AS c (caller, most)
CROSS JOIN LATERAL (
    SELECT count(*) AS tasks FROM (
        SELECT FROM unnest(CAST(:queues AS text[])) AS q (queue)
        CROSS JOIN (SELECT n::smallint AS priority FROM generate_series(0, 10) AS n) AS p
        CROSS JOIN LATERAL (
            SELECT FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
                AND (t.queue, t.priority, t.caller) >= (q.queue, p.priority, c.caller)
                AND (t.queue, t.priority, t.caller) <= (q.queue, p.priority, c.caller)
                ORDER BY t.queue, t.priority, t.caller LIMIT c.most
        ) AS t LIMIT c.most
    ) AS found
) AS w LEFT JOIN (
    SELECT caller, count(*) AS tasks FROM task_live
    WHERE place = 'sent' AND state = 'queued' AND caller = ANY(CAST(:callers AS text[])) GROUP BY caller
) AS s ON s.caller = c.caller;

----------------------------------------------------------------------------------------------------------------------
-- store/queues/overdue.py
-- Tasks that have missed their target and have not started: no counter knows of them before they start or end.

-- _OVERDUE
-- The time that a task was held does not count. Of those that wait the index has the oldest of each priority first, and
-- the row says the rest; those that were sent are no more than a window, and some may have started unrecorded.
SELECT q.queue, count(*)::int AS tasks, count(*) FILTER (WHERE late.seconds < 300)::int AS within_300,
    count(*) FILTER (WHERE late.seconds < 1800)::int AS within_1800,
    count(*) FILTER (WHERE late.seconds < 3600)::int AS within_3600,
    count(*) FILTER (WHERE late.seconds < 21600)::int AS within_21600
FROM unnest(CAST(:queues AS text[]), CAST(:targets AS float8[])) AS q (queue, target)
CROSS JOIN LATERAL (
    SELECT seconds FROM (
        SELECT extract(epoch FROM now() - t.due_at) - t.held_wait_seconds - t.sla_seconds AS seconds, t.attempt
            FROM generate_series(0, 10) AS p (priority)
        CROSS JOIN LATERAL (
            SELECT t.due_at, t.held_wait_seconds, t.sla_seconds, t.attempt FROM task_live t
            WHERE t.place = 'waiting' AND t.queue = q.queue AND t.priority = p.priority
                AND t.due_at < now() - q.target * interval '1 second'
            ORDER BY t.due_at LIMIT 1000
        ) AS t
        UNION ALL
        SELECT extract(epoch FROM now() - t.due_at) - t.held_wait_seconds - t.sla_seconds, t.attempt FROM task_live t
        WHERE t.place = 'sent' AND t.queue = q.queue AND t.state = 'queued'
            AND t.due_at < now() - (q.target + CAST(:unrecorded AS float8)) * interval '1 second'
    ) AS found WHERE seconds > 0 AND attempt = 0 LIMIT 1000
) AS late
GROUP BY q.queue;

----------------------------------------------------------------------------------------------------------------------
-- store/queues/pausing.py
-- Which queues are paused. A row stays after a resume: its revision tells old news from new.

-- _SET
INSERT INTO queue_pause AS old (queue, paused, revision, reason, actor)
VALUES (:queue, :paused, 1, :reason, :actor)
ON CONFLICT (queue) DO UPDATE SET paused = excluded.paused, revision = old.revision + 1,
    reason = excluded.reason, actor = excluded.actor, changed_at = now()
RETURNING queue, paused, revision, reason, actor, changed_at;

-- _KNOWN
-- Of two who pause a queue that never was paused, the second waits here for the first.
INSERT INTO queue_pause (queue, paused, revision, actor) VALUES (:queue, false, 0, :actor) ON CONFLICT DO NOTHING;

-- _LOCK
SELECT queue, paused, revision, reason, actor, changed_at FROM queue_pause WHERE queue = :queue FOR UPDATE;

-- ALL
SELECT queue, paused, revision, reason, actor, changed_at FROM queue_pause ORDER BY queue;

----------------------------------------------------------------------------------------------------------------------
-- store/queues/probing.py
-- Which of the tasks that the breaker of a task type holds are tried: those least like the ones that failed.

-- _PROBES
-- One of each caller and its tags before a second of any. Where there is one queue only, the planner takes it that none
-- is left, and reads and sorts everything that is held: ``coalesce`` keeps it from that.
WITH living AS (SELECT unnest(queues) AS queue FROM worker
    WHERE last_seen_at > now() - CAST(:dead_seconds AS float8) * interval '1 second'),
accused AS MATERIALIZED (
    SELECT caller, tags FROM task_live WHERE id = ANY(CAST(:accused AS uuid[]))
    UNION ALL SELECT caller, tags FROM task WHERE id = ANY(CAST(:accused AS uuid[]))
        AND id BETWEEN CAST(:low AS uuid) AND CAST(:high AS uuid)
), common AS MATERIALIZED (
    SELECT key, value FROM accused CROSS JOIN LATERAL (SELECT key, value FROM jsonb_each_text(accused.tags)
        UNION ALL SELECT ' caller', accused.caller) AS tells
    GROUP BY key, value HAVING 2 * count(*) >= (SELECT count(*) FROM accused)
), ends AS MATERIALIZED (
    SELECT (SELECT priority FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL ORDER BY priority DESC
        LIMIT 1) AS most,
        (SELECT priority FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL ORDER BY priority LIMIT 1) AS least
), level AS MATERIALIZED (
    SELECT least + floor(random() * (most - least + 1))::smallint AS priority FROM ends
), between AS MATERIALIZED (
    SELECT l.priority, (SELECT due_at FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL AND priority = l.priority
        ORDER BY due_at LIMIT 1)
        + random() * ((SELECT due_at FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL AND priority = l.priority
        ORDER BY due_at DESC LIMIT 1)
        - (SELECT due_at FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL AND priority = l.priority
        ORDER BY due_at LIMIT 1)) AS due_at
    FROM level l
), looked_at AS (
    (SELECT id, task_type, dependencies, priority, due_at, attempt > interruptions AS has_failed, caller, tags
        FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL
        AND NOT id = ANY(CAST(:have AS uuid[]))
        AND coalesce(NOT queue = ANY(ARRAY(SELECT queue FROM queue_pause WHERE paused)), false)
        AND coalesce(queue = ANY(ARRAY(SELECT queue FROM living)) OR NOT EXISTS (SELECT FROM living), false)
            ORDER BY priority DESC, due_at, id LIMIT 500)
    UNION
    (SELECT id, task_type, dependencies, priority, due_at, attempt > interruptions AS has_failed, caller, tags
        FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL
        AND NOT id = ANY(CAST(:have AS uuid[]))
        AND coalesce(NOT queue = ANY(ARRAY(SELECT queue FROM queue_pause WHERE paused)), false)
        AND coalesce(queue = ANY(ARRAY(SELECT queue FROM living)) OR NOT EXISTS (SELECT FROM living), false)
            ORDER BY priority, due_at DESC, id DESC LIMIT 500)
    UNION
    (SELECT id, task_type, dependencies, priority, due_at, attempt > interruptions AS has_failed, caller, tags
        FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL
        AND NOT id = ANY(CAST(:have AS uuid[]))
        AND coalesce(NOT queue = ANY(ARRAY(SELECT queue FROM queue_pause WHERE paused)), false)
        AND coalesce(queue = ANY(ARRAY(SELECT queue FROM living)) OR NOT EXISTS (SELECT FROM living), false)
            AND priority = (SELECT priority FROM between)
        AND due_at >= (SELECT due_at FROM between) ORDER BY priority DESC, due_at, id LIMIT 500)
), f AS (
    SELECT looked_at.*, (SELECT count(*) FROM (SELECT key, value FROM jsonb_each_text(looked_at.tags)
        UNION ALL SELECT ' caller', looked_at.caller) AS tells
        JOIN common USING (key, value)) AS shared FROM looked_at
)
SELECT f.id FROM f WHERE (NOT has_failed OR :any_may)
    AND (NOT :only_others OR shared < (SELECT count(*) FROM common))
    AND NOT EXISTS (SELECT FROM breaker b WHERE b.seen IN ('open', 'half_open', 'forced_open')
AND ((b.scope = 'task_type' AND b.name = f.task_type)
    OR (b.scope = 'dependency' AND b.name = ANY(f.dependencies)))
AND NOT (b.seen = 'half_open'
    AND coalesce((b.machine -> 'permits' ->> f.id::text)::float8 > extract(epoch FROM now()), false))
        AND b.seen <> 'half_open'
        AND (b.scope, b.name) <> (CAST(:scope AS text), CAST(:name AS text)))
ORDER BY has_failed, shared,
    row_number() OVER (PARTITION BY has_failed, caller, tags ORDER BY priority DESC, due_at, id),
    priority DESC, due_at, id
LIMIT :most;

-- _OTHERS
WITH
accused AS MATERIALIZED (
    SELECT caller, tags FROM task_live WHERE id = ANY(CAST(:accused AS uuid[]))
    UNION ALL SELECT caller, tags FROM task WHERE id = ANY(CAST(:accused AS uuid[]))
        AND id BETWEEN CAST(:low AS uuid) AND CAST(:high AS uuid)
), common AS MATERIALIZED (
    SELECT key, value FROM accused CROSS JOIN LATERAL (SELECT key, value FROM jsonb_each_text(accused.tags)
        UNION ALL SELECT ' caller', accused.caller) AS tells
    GROUP BY key, value HAVING 2 * count(*) >= (SELECT count(*) FROM accused)
), ends AS MATERIALIZED (
    SELECT (SELECT priority FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL ORDER BY priority DESC
        LIMIT 1) AS most,
        (SELECT priority FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL ORDER BY priority LIMIT 1) AS least
), level AS MATERIALIZED (
    SELECT least + floor(random() * (most - least + 1))::smallint AS priority FROM ends
), between AS MATERIALIZED (
    SELECT l.priority, (SELECT due_at FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL AND priority = l.priority
        ORDER BY due_at LIMIT 1)
        + random() * ((SELECT due_at FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL AND priority = l.priority
        ORDER BY due_at DESC LIMIT 1)
        - (SELECT due_at FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL AND priority = l.priority
        ORDER BY due_at LIMIT 1)) AS due_at
    FROM level l
), looked_at AS (
    (SELECT id, task_type, dependencies, priority, due_at, attempt > interruptions AS has_failed, caller, tags
        FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL ORDER BY priority DESC, due_at, id
        LIMIT 500)
    UNION
    (SELECT id, task_type, dependencies, priority, due_at, attempt > interruptions AS has_failed, caller, tags
        FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL ORDER BY priority, due_at DESC,
        id DESC LIMIT 500)
    UNION
    (SELECT id, task_type, dependencies, priority, due_at, attempt > interruptions AS has_failed, caller, tags
        FROM task_live
    WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL AND priority = (SELECT priority
        FROM between)
        AND due_at >= (SELECT due_at FROM between) ORDER BY priority DESC, due_at, id LIMIT 500)
), f AS (
    SELECT looked_at.*, (SELECT count(*) FROM (SELECT key, value FROM jsonb_each_text(looked_at.tags)
        UNION ALL SELECT ' caller', looked_at.caller) AS tells
        JOIN common USING (key, value)) AS shared FROM looked_at
)
SELECT id FROM f WHERE NOT has_failed AND shared < (SELECT count(*) FROM common)
ORDER BY priority DESC, due_at, id LIMIT :most;

-- _ARE_KNOWN
-- What half of the bad ones have and the well ones lack: without any nothing tells them apart.
WITH known AS MATERIALIZED (
    SELECT id, caller, tags FROM task_live WHERE id = ANY(CAST(:ids AS uuid[]))
    UNION ALL SELECT id, caller, tags FROM task WHERE id = ANY(CAST(:ids AS uuid[]))
        AND id BETWEEN CAST(:low AS uuid) AND CAST(:high AS uuid)
), tells AS MATERIALIZED (
    SELECT known.id, key, value FROM known CROSS JOIN LATERAL (SELECT key, value FROM jsonb_each_text(known.tags)
        UNION ALL SELECT ' caller', known.caller) AS tells
), telling AS MATERIALIZED (
    SELECT key, value FROM tells WHERE id = ANY(CAST(:bad AS uuid[]))
    GROUP BY key, value HAVING 2 * count(*) >= cardinality(CAST(:bad AS uuid[]))
    EXCEPT SELECT key, value FROM tells WHERE id = ANY(CAST(:well AS uuid[]))
)
SELECT EXISTS (SELECT FROM telling) AND NOT EXISTS (
    SELECT FROM unnest(CAST(:accused AS uuid[])) AS a (id) WHERE EXISTS (
        SELECT FROM telling WHERE NOT EXISTS (
            SELECT FROM tells WHERE tells.id = a.id AND tells.key = telling.key AND tells.value = telling.value)));

----------------------------------------------------------------------------------------------------------------------
-- store/queues/quarantine.py
-- Tasks that lost their worker again and again, and the queues that are kept empty while one of them runs alone.

-- _LOCK
SELECT pg_advisory_xact_lock(hashtext('pointsman quarantine'));

-- _WAITING
SELECT id, queue FROM task_live WHERE place = 'held' AND held_reason = :reason AND cancel_requested_at IS NULL
    AND NOT EXISTS (SELECT FROM quarantine_queue q WHERE q.task_id = task_live.id)
ORDER BY due_at LIMIT :most;

-- _KEEP_EMPTY
-- All of them or none: a task whose pool is half empty would hold that half, and never run.
INSERT INTO quarantine_queue (queue, task_id)
    SELECT queue, CAST(:id AS uuid) FROM unnest(CAST(:queues AS text[])) AS kept (queue) WHERE NOT (
    EXISTS (SELECT FROM task_live t WHERE t.place = 'sent' AND t.queue = ANY(CAST(:queues AS text[])))
    OR EXISTS (SELECT FROM task_live t WHERE t.place = 'waiting' AND t.queue = ANY(CAST(:queues AS text[]))
        AND t.cancel_requested_at IS NULL)
    OR EXISTS (SELECT FROM quarantine_queue q WHERE q.queue = ANY(CAST(:queues AS text[])))
);

-- _LET_GO
-- What an API process published before it knew must have ended first.
WITH alone AS (
    SELECT t.id FROM task_live t WHERE t.place = 'held' AND t.held_reason = :reason
        AND t.id IN (
            SELECT task_id FROM quarantine_queue GROUP BY task_id
            HAVING max(since) < now() - CAST(:settle AS float8) * interval '1 second')
        AND NOT EXISTS (
            SELECT FROM quarantine_queue q JOIN task_live o ON o.queue = q.queue AND o.place = 'sent'
            WHERE q.task_id = t.id)
    ORDER BY t.id FOR UPDATE OF t
), let_go AS (UPDATE task_live t SET state = 'queued', place = 'waiting', held_reason = NULL, held_at = NULL,
held_seconds = t.held_seconds + CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch
    FROM now() - t.held_at)::float8) END,
held_wait_seconds = t.held_wait_seconds + CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch
    FROM now() - greatest(t.held_at, t.due_at))::float8) END FROM alone a WHERE t.id = a.id RETURNING t.id),
    told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM let_go WHERE EXISTS (SELECT
    FROM live_listening WHERE until > now()) HAVING count(*) > 0)
SELECT count(*) FROM let_go;

-- _OPEN
-- A queue is not kept empty for a task that has ended, nor for ever for one that does not get its turn.
DELETE FROM quarantine_queue q WHERE NOT EXISTS (
SELECT FROM task_live t WHERE t.id = q.task_id AND (t.place IN ('waiting', 'sent')
    OR t.held_reason = :reason AND q.since > now() - CAST(:patience AS float8) * interval '1 second'));

-- _KEPT
SELECT queue, EXISTS (SELECT FROM task_live t WHERE t.id = q.task_id AND t.place = 'waiting' AND t.queue = q.queue)
AS due FROM quarantine_queue q;

-- _KEPT_FOR
SELECT queue, task_id FROM quarantine_queue;

----------------------------------------------------------------------------------------------------------------------
-- store/queues/shares.py
-- Whose tasks wait in a queue: its shares, a caller and a fairness key each, and the tasks of some of them.

-- _ENDS
-- The first and the last of each priority: where these are one, there is no other.
SELECT DISTINCT q.queue, s.caller, s.fairness_key FROM unnest(CAST(:queues AS text[])) AS q (queue)
CROSS JOIN (SELECT n::smallint AS priority FROM generate_series(0, 10) AS n) AS p
CROSS JOIN LATERAL (
(SELECT t.caller, t.fairness_key FROM task_live t
    WHERE t.place = 'waiting' AND NOT t.alone AND (t.queue, t.priority) >= (q.queue, p.priority)
        AND (t.queue, t.priority) <= (q.queue, p.priority)
    ORDER BY t.queue, t.priority, t.caller, t.fairness_key LIMIT 1) UNION ALL
(SELECT t.caller, t.fairness_key FROM task_live t
    WHERE t.place = 'waiting' AND NOT t.alone AND (t.queue, t.priority) >= (q.queue, p.priority)
        AND (t.queue, t.priority) <= (q.queue, p.priority)
    ORDER BY t.queue DESC, t.priority DESC, t.caller DESC, t.fairness_key DESC LIMIT 1)) AS s;

-- _LINE
WITH RECURSIVE callers AS (
    SELECT n.caller, 1 AS number FROM (SELECT t.caller FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
            AND (t.queue, t.priority, t.caller) >= (CAST(:queue AS text), CAST(:priority AS smallint),
                CAST(:after AS text))
            AND (t.queue, t.priority) <= (CAST(:queue AS text), CAST(:priority AS smallint))
            ORDER BY t.queue, t.priority, t.caller LIMIT 1) AS n
    UNION ALL
    SELECT n.caller, c.number + 1 FROM callers c
        CROSS JOIN LATERAL (SELECT t.caller FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
            AND (t.queue, t.priority, t.caller) > (CAST(:queue AS text), CAST(:priority AS smallint), c.caller)
            AND (t.queue, t.priority) <= (CAST(:queue AS text), CAST(:priority AS smallint))
            ORDER BY t.queue, t.priority, t.caller LIMIT 1) AS n
    WHERE c.number < 200
)
SELECT c.caller, k.fairness_key FROM callers c
LEFT JOIN unnest(CAST(:caller AS text[]), CAST(:key AS text[])) AS at (caller, key) ON at.caller = c.caller
LEFT JOIN LATERAL (
    WITH RECURSIVE keys AS (
        SELECT n.fairness_key, 1 AS number
        FROM (SELECT t.fairness_key FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
            AND (t.queue, t.priority, t.caller, t.fairness_key)
                >= (CAST(:queue AS text), CAST(:priority AS smallint), c.caller, coalesce(at.key, ''))
            AND (t.queue, t.priority, t.caller) <= (CAST(:queue AS text), CAST(:priority AS smallint), c.caller)
            ORDER BY t.queue, t.priority, t.caller, t.fairness_key LIMIT 1) AS n
        UNION ALL
        SELECT n.fairness_key, k.number + 1 FROM keys k
            CROSS JOIN LATERAL (SELECT t.fairness_key FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
            AND (t.queue, t.priority, t.caller, t.fairness_key)
                > (CAST(:queue AS text), CAST(:priority AS smallint), c.caller, k.fairness_key)
            AND (t.queue, t.priority, t.caller) <= (CAST(:queue AS text), CAST(:priority AS smallint), c.caller)
            ORDER BY t.queue, t.priority, t.caller, t.fairness_key LIMIT 1) AS n
        WHERE k.number < 100
    )
    SELECT fairness_key FROM keys
) AS k ON true
ORDER BY c.caller, k.fairness_key;

-- _ALONE
-- Those that wait alone were there before another share was: they are in front.
SELECT DISTINCT q.queue, p.priority, f.caller, f.fairness_key FROM unnest(CAST(:queues AS text[])) AS q (queue)
CROSS JOIN generate_series(0, 10) AS p (priority)
CROSS JOIN LATERAL (
        SELECT t.id, t.caller, t.fairness_key, t.alone FROM task_live t
        WHERE t.place = 'waiting' AND t.queue = q.queue AND t.priority = p.priority
        ORDER BY t.due_at, t.id LIMIT 64) AS f
WHERE f.alone;

-- _ALONE_AMONG
SELECT f.caller, f.fairness_key, count(*) AS tasks
FROM (
        SELECT t.id, t.caller, t.fairness_key, t.alone FROM task_live t
        WHERE t.place = 'waiting' AND t.queue = CAST(:queue AS text) AND t.priority = CAST(:priority AS smallint)
        ORDER BY t.due_at, t.id LIMIT :most) AS f
WHERE f.alone GROUP BY f.caller, f.fairness_key;

-- _ONE_BY_ONE
-- Two thousand rows by their ids are what a planner would read all of a smaller table for.
SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);

-- _PLACE
-- Rows are passed over that others have locked, for these are sent, cancelled or held at this moment.
WITH f AS (
        SELECT t.id, t.caller, t.fairness_key, t.alone FROM task_live t
        WHERE t.place = 'waiting' AND t.queue = CAST(:queue AS text) AND t.priority = CAST(:priority AS smallint)
        ORDER BY t.due_at, t.id LIMIT 2000
), chosen AS (
    SELECT t.id FROM task_live t WHERE t.id IN (SELECT f.id FROM f WHERE f.alone) AND t.alone
    FOR UPDATE SKIP LOCKED
), placed AS (
    UPDATE task_live t SET alone = false FROM chosen WHERE t.id = chosen.id RETURNING t.id
)
SELECT count(*) FROM placed;

-- _ALONG_INDEXES
SELECT set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true);

-- _OF_TASKS
-- One by one: of a table that was small a minute ago a planner would rather read all.
SELECT t.caller, t.fairness_key, count(*) AS tasks FROM unnest(CAST(:ids AS uuid[])) AS one (id)
CROSS JOIN LATERAL (SELECT caller, fairness_key FROM task_live WHERE task_live.id = one.id LIMIT 1) AS t
GROUP BY t.caller, t.fairness_key;

-- _LEVEL
SELECT t.priority FROM task_live t
WHERE t.place = 'waiting' AND t.queue = CAST(:queue AS text) AND t.priority < CAST(:below AS smallint)
ORDER BY t.priority DESC LIMIT 1;

----------------------------------------------------------------------------------------------------------------------
-- store/queues/unserved.py
-- Tasks whose type no living worker of their queue knows: held, and let go when one does.

-- _HELD_PLACES
WITH RECURSIVE places AS (
        SELECT * FROM (
    SELECT t.task_type, t.queue FROM task_live t WHERE t.place = 'held' AND t.held_reason = :reason
    ORDER BY t.task_type, t.queue LIMIT 1
) AS first
        UNION ALL
        SELECT following.* FROM places p CROSS JOIN LATERAL (
    SELECT t.task_type, t.queue FROM task_live t WHERE t.place = 'held' AND t.held_reason = :reason AND (t.task_type,
        t.queue) > (p.task_type, p.queue)
    ORDER BY t.task_type, t.queue LIMIT 1
) AS following
    )
    SELECT p.queue, p.task_type, counted.tasks, counted.since FROM (SELECT * FROM places LIMIT :most) AS p
    CROSS JOIN LATERAL (
        SELECT count(*)::int AS tasks, min(held_at) AS since FROM (
            SELECT t.held_at FROM task_live t WHERE t.place = 'held' AND t.held_reason = :reason
                AND t.task_type BETWEEN p.task_type AND p.task_type
            AND t.queue BETWEEN p.queue AND p.queue ORDER BY t.task_type, t.queue LIMIT :counted) AS first_ones
    ) AS counted WHERE counted.tasks > 0;

-- _RELEASE
WITH held AS (
    SELECT t.id FROM task_live t
    JOIN unnest(CAST(:queue AS text[]), CAST(:task_type AS text[])) AS p (queue, task_type) ON t.place = 'held'
        AND t.held_reason = :reason AND t.task_type BETWEEN p.task_type AND p.task_type
        AND t.queue BETWEEN p.queue AND p.queue
    WHERE t.cancel_requested_at IS NULL
    LIMIT :most FOR UPDATE OF t SKIP LOCKED
), let_go AS (UPDATE task_live t SET state = 'queued', place = 'waiting', held_reason = NULL, held_at = NULL,
held_seconds = t.held_seconds + CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch
    FROM now() - t.held_at)::float8) END,
held_wait_seconds = t.held_wait_seconds + CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch
    FROM now() - greatest(t.held_at, t.due_at))::float8) END FROM held WHERE t.id = held.id RETURNING t.id),
    told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM let_go WHERE EXISTS (SELECT
    FROM live_listening WHERE until > now()) HAVING count(*) > 0)
SELECT count(*) FROM let_go;

-- _HOLD_UNPUBLISHED
-- They were marked as sent and their message was not published: nobody has one.
WITH mine AS (SELECT t.id FROM task_live t JOIN unnest(CAST(:id AS uuid[]), CAST(:dispatch AS integer[])) AS e (id,
    dispatch)
    ON t.id = e.id AND t.dispatch = e.dispatch
    WHERE t.id = ANY(CAST(:id AS uuid[])) AND t.place = 'sent' AND t.state = 'queued'
    ORDER BY t.id FOR UPDATE OF t
), held AS (
    UPDATE task_live t SET state = 'held', place = 'held', held_at = now(), alone = false,
        held_reason = 'unknown_task_type', dispatch = t.dispatch - 1
    FROM mine m WHERE t.id = m.id RETURNING t.id
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM held WHERE EXISTS (SELECT FROM live_listening
    WHERE until > now()) HAVING count(*) > 0)
SELECT count(*) FROM held;

-- _HOLD_WAITING
-- What stands behind the first of them, so that others need not wait until each was looked at.
WITH front AS (
    SELECT id, task_type FROM task_live WHERE place = 'waiting' AND queue = :queue AND cancel_requested_at IS NULL
    ORDER BY priority DESC, due_at, id LIMIT :looked_at FOR UPDATE SKIP LOCKED
), held AS (
    UPDATE task_live t SET state = 'held', place = 'held', held_at = now(), alone = false,
        held_reason = 'unknown_task_type' FROM front f
    WHERE t.id = f.id AND f.task_type = ANY(CAST(:task_types AS text[])) RETURNING t.id
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM held WHERE EXISTS (SELECT FROM live_listening
    WHERE until > now()) HAVING count(*) > 0)
SELECT count(*) FROM held;

----------------------------------------------------------------------------------------------------------------------
-- store/refused_calls.py
-- Calls that were refused for who asked, or for what its caller may take: how many, by why.

-- _ADD
INSERT INTO refused_call AS old (reason, calls) SELECT reason, calls FROM unnest(CAST(:reason AS text[]),
    CAST(:calls AS bigint[])) AS rows (reason, calls) ORDER BY reason ON CONFLICT (reason) DO UPDATE
    SET calls = old.calls + excluded.calls;

-- _COUNTS
SELECT reason, calls FROM refused_call;

----------------------------------------------------------------------------------------------------------------------
-- store/streams/epochs.py
-- Epochs of Redis data, and how far the recorder has read their streams.

-- _CURRENT
SELECT epoch, run_id, opened_at, extract(epoch FROM clock_timestamp() - declared_at)::float8 AS age_seconds,
    extract(epoch FROM clock_timestamp() - opened_at)::float8 AS open_seconds
FROM broker_epoch ORDER BY epoch DESC LIMIT 1;

-- _AFTER
SELECT min(epoch) FROM broker_epoch WHERE epoch > :epoch;

-- _DECLARE
INSERT INTO broker_epoch (epoch, run_id) VALUES (:epoch, :run_id) ON CONFLICT DO NOTHING;

-- _OPEN
UPDATE broker_epoch SET opened_at = clock_timestamp() WHERE epoch = :epoch AND opened_at IS NULL;

-- POSITIONS
SELECT stream, last_id FROM recorder_position;

-- _PROGRESS
-- The statement began before it saw its rows.
SELECT extract(epoch FROM statement_timestamp())::float8 AS at, (SELECT max(epoch) FROM broker_epoch) AS epoch,
(SELECT coalesce(jsonb_object_agg(stream, last_id), '{}') FROM recorder_position) AS positions;

-- _RECORDED
SELECT extract(epoch FROM clock_timestamp() - max(moved_at))::float8 FROM recorder_position;

-- _FIRST_POSITION
INSERT INTO recorder_position (stream, last_id) VALUES (:stream, :first) ON CONFLICT DO NOTHING;

-- _LEAVE
DELETE FROM recorder_position WHERE stream = :stream AND last_id = :last_id;

-- _SEND_AGAIN
-- Found in whatever order is quickest, then locked in the one that everybody keeps to (``locking``).
WITH found AS MATERIALIZED (
    SELECT id FROM task_live WHERE place = 'sent' AND state = 'queued' AND sent_epoch < :epoch
        AND NOT id = ANY(CAST(:running AS uuid[]))
    LIMIT :most
), part AS (
    SELECT t.id FROM task_live t JOIN found USING (id)
    WHERE t.place = 'sent' AND t.state = 'queued' AND t.sent_epoch < :epoch
    ORDER BY t.id FOR UPDATE OF t
), moved AS (
    UPDATE task_live t SET place = 'waiting', uncertain_sendings = least(t.uncertain_sendings + 1, 32767)
    FROM part WHERE t.id = part.id RETURNING t.task_type, t.queue, t.caller
)
SELECT task_type, queue, caller, count(*) AS tasks, 0 AS found, now() AS at FROM moved
GROUP BY task_type, queue, caller
UNION ALL SELECT '', '', '', 0, count(*), now() FROM found;

----------------------------------------------------------------------------------------------------------------------
-- store/streams/lanes.py
-- How far the events of each lane were written down, where events are signed.

-- _PASS
INSERT INTO event_lane AS old (lane, number) SELECT lane, number FROM unnest(CAST(:lane AS text[]),
    CAST(:number AS bigint[])) AS rows (lane, number)
ON CONFLICT (lane) DO UPDATE SET number = greatest(old.number, excluded.number), seen_at = now();

-- _PASSED
SELECT lane, number FROM event_lane;

-- _FORGET
DELETE FROM event_lane WHERE seen_at < now() - CAST(:days AS float8) * interval '1 day';

----------------------------------------------------------------------------------------------------------------------
-- store/streams/left_out.py
-- What the recorder left out of the event streams: counted with the position that passed it, so each entry once.

-- _ADD
INSERT INTO left_out_event AS old (reason, entries, last_stream, last_id, last_detail) SELECT reason, entries,
    :stream, last_id, last_detail FROM unnest(CAST(:reason AS text[]), CAST(:entries AS bigint[]),
    CAST(:last_id AS text[]), CAST(:last_detail AS text[])) AS rows (reason, entries, last_id, last_detail)
ON CONFLICT (reason) DO UPDATE SET entries = old.entries + excluded.entries, last_at = now(),
    last_stream = excluded.last_stream, last_id = excluded.last_id, last_detail = excluded.last_detail;

-- _COUNTS
SELECT reason, entries FROM left_out_event;

-- _RECENT
SELECT coalesce(sum(entries), 0)::bigint AS entries,
    (array_agg(last_detail ORDER BY last_at DESC))[1] AS last_detail
FROM left_out_event WHERE reason <> 'repeated'
HAVING max(last_at) > now() - CAST(:seconds AS float8) * interval '1 second';

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/acts.py
-- Acts on many tasks that are walked through: what is asked, how far it is, and the part that is next.

-- _BEGIN
INSERT INTO replay (id, kind, stage, caller, reason, wanted, rate_per_second, submitted_before, most, at_most,
    grace_seconds, walked_to, matched, tasks)
VALUES (:id, :kind, 'walking', :caller, :reason, CAST(:wanted AS jsonb), :rate, :before, :most, :at_most, :grace,
    :above, 0, 0);

-- _FIND
SELECT id, kind, stage, requested_at, caller, reason, wanted, rate_per_second, submitted_before, most, at_most,
    grace_seconds, walked_to, looked_at, matched, tasks, last_due_at, unended, put_back FROM replay
    WHERE id = CAST(:id AS uuid);

-- _NEWEST
SELECT id, kind, stage, requested_at, caller, reason, wanted, rate_per_second, submitted_before, most, at_most,
    grace_seconds, walked_to, looked_at, matched, tasks, last_due_at, unended, put_back FROM replay
WHERE kind <> 'replay' AND (CAST(:below AS uuid) IS NULL OR id < CAST(:below AS uuid)) ORDER BY id DESC LIMIT :most;

-- _OPEN
SELECT id FROM replay WHERE stage IN ('walking', 'undoing') ORDER BY id LIMIT :most;

-- _TAKE
-- Another who walks it is at it already.
SELECT id, kind, stage, requested_at, caller, reason, wanted, rate_per_second, submitted_before, most, at_most,
    grace_seconds, walked_to, looked_at, matched, tasks, last_due_at, unended, put_back, extract(epoch
    FROM clock_timestamp() - requested_at)::float8 AS age_seconds FROM replay
WHERE id = CAST(:id AS uuid) AND stage IN ('walking', 'undoing') FOR UPDATE SKIP LOCKED;

-- _WALKED
UPDATE replay SET walked_to = coalesce(CAST(:last AS uuid), walked_to), stage = CAST(:stage AS text),
    looked_at = looked_at + :looked_at, matched = matched + :matched, tasks = tasks + :tasks,
    last_due_at = greatest(last_due_at, CAST(:last_due_at AS timestamptz))
WHERE id = CAST(:id AS uuid);

-- _UNWALKED
UPDATE replay SET walked_to = CAST(:last AS uuid), stage = CAST(:stage AS text), unended = :unended,
    put_back = put_back + :put_back
WHERE id = CAST(:id AS uuid);

-- _STOP
UPDATE replay SET stage = 'done' WHERE id = CAST(:id AS uuid) AND stage = 'walking' RETURNING 'walking', tasks;

-- _UNDO
-- A walk that is undone goes no further.
WITH before AS (
    SELECT id, stage FROM replay WHERE id = CAST(:id AS uuid) AND stage IN ('walking', 'done') FOR UPDATE
)
UPDATE replay r SET stage = 'undoing', walked_to = CAST(:above AS uuid), unended = 0
FROM before b WHERE r.id = b.id RETURNING b.stage, r.tasks;

-- _CANCEL
-- What starts first is left alone, unless what runs is to end, too (``recording.begin``).
WITH part AS (
    SELECT id FROM task_live WHERE id = ANY(CAST(:ids AS uuid[])) AND state = ANY(CAST(:states AS text[]))
        AND (CAST(:queue AS text) IS NULL OR queue = :queue) AND cancel_requested_at IS NULL
    ORDER BY id FOR UPDATE
), marked AS (
    UPDATE task_live t SET cancel_requested_at = now(), cancel_grace_seconds = CAST(:grace AS real),
        cancel_requested_by = CAST(:by AS text)
    FROM part p WHERE t.id = p.id RETURNING t.id
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM marked WHERE EXISTS (SELECT
    FROM live_listening WHERE until > now()) HAVING count(*) > 0), kept AS (
    INSERT INTO cancelled_task (act_id, task_id) SELECT CAST(:act AS uuid), id FROM marked ON CONFLICT DO NOTHING
)
SELECT count(*) FROM marked;

-- _CANCELLED
SELECT task_id FROM cancelled_task WHERE act_id = CAST(:id AS uuid) AND task_id > CAST(:above AS uuid)
ORDER BY task_id LIMIT :most;

-- _UNENDED
SELECT count(*) FROM task_live WHERE id = ANY(CAST(:ids AS uuid[])) AND cancel_requested_at IS NOT NULL
AND attempt = 0 AND state <> 'running';

-- _PENDING
SELECT count(*) FROM (
    SELECT FROM task_live t JOIN cancelled_task c ON c.act_id = CAST(:id AS uuid) AND c.task_id = t.id
    WHERE t.cancel_requested_at IS NOT NULL LIMIT :most
) AS left_over;

-- _STATES_OF_CANCELLED
-- One by one: joined, all tasks that there are would be read for those of one act. OFFSET keeps the planner from it.
SELECT every.state, count(*) AS tasks FROM cancelled_task c CROSS JOIN LATERAL (
    (SELECT t.state FROM task_live t WHERE t.id = c.task_id OFFSET 0)
    UNION ALL (SELECT t.state FROM task t WHERE t.id = c.task_id OFFSET 0)
) AS every WHERE c.act_id = CAST(:id AS uuid) GROUP BY every.state;

-- part_of (cancel)
WITH looked AS (SELECT id, (queue = :queue AND task_type = :task_type AND caller = :caller AND split_part(worker, '#',
    1) = :worker AND attempt = :attempts AND attempt >= :attempts_at_least
    AND (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb)) AND submitted_at >= :submitted_after
    AND id >= CAST(:lowest AS uuid) AND submitted_at < :submitted_before AND state = ANY(CAST(:states AS text[]))
    AND cancel_requested_at IS NULL) AS hit FROM task_live WHERE true AND id > CAST(:above AS uuid)
    AND id < CAST(:highest AS uuid) ORDER BY id LIMIT :looked_at), found AS (SELECT id FROM looked WHERE hit
    ORDER BY id LIMIT :most)
SELECT (SELECT count(*) FROM looked) AS looked_at, (SELECT id FROM looked ORDER BY id DESC LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE id <= (SELECT id FROM found ORDER BY id DESC LIMIT 1)) AS looked_at_to_found,
    ARRAY(SELECT id FROM found ORDER BY id) AS ids;

-- part_of (retry)
WITH looked AS (SELECT * FROM ((SELECT id, (queue = :queue AND task_type = :task_type AND caller = :caller
    AND split_part(worker, '#', 1) = :worker AND attempt = :attempts AND attempt >= :attempts_at_least
    AND error_type = :error_type AND error_group = CAST(:error_group AS uuid) AND strpos(lower(error_message),
    lower(CAST(:error_message AS text))) > 0 AND (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb))
    AND submitted_at >= :submitted_after AND id >= CAST(:lowest AS uuid) AND id < CAST(:highest AS uuid)
    AND finished_at >= :finished_after AND finished_at < :finished_before AND submitted_at < :submitted_before
    AND NOT EXISTS (SELECT FROM replayed_task r WHERE r.task_id = task.id OFFSET 0)) AS hit FROM task
    WHERE state = 'cancelled' AND id > CAST(:above AS uuid) AND id < CAST(:highest AS uuid) ORDER BY id
    LIMIT :looked_at) UNION ALL (SELECT id, (queue = :queue AND task_type = :task_type AND caller = :caller
    AND split_part(worker, '#', 1) = :worker AND attempt = :attempts AND attempt >= :attempts_at_least
    AND error_type = :error_type AND error_group = CAST(:error_group AS uuid) AND strpos(lower(error_message),
    lower(CAST(:error_message AS text))) > 0 AND (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb))
    AND submitted_at >= :submitted_after AND id >= CAST(:lowest AS uuid) AND id < CAST(:highest AS uuid)
    AND finished_at >= :finished_after AND finished_at < :finished_before AND submitted_at < :submitted_before
    AND NOT EXISTS (SELECT FROM replayed_task r WHERE r.task_id = task.id OFFSET 0)) AS hit FROM task
    WHERE state = 'failed' AND id > CAST(:above AS uuid) AND id < CAST(:highest AS uuid) ORDER BY id
    LIMIT :looked_at)) AS sides ORDER BY id LIMIT :looked_at), found AS (SELECT id FROM looked WHERE hit ORDER BY id
    LIMIT :most)
SELECT (SELECT count(*) FROM looked) AS looked_at, (SELECT id FROM looked ORDER BY id DESC LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE id <= (SELECT id FROM found ORDER BY id DESC LIMIT 1)) AS looked_at_to_found,
    ARRAY(SELECT id FROM found ORDER BY id) AS ids;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/cancelling.py
-- Requests to cancel, kept in the row until they are done.

-- _REQUEST
WITH asked AS (UPDATE task_live SET cancel_requested_at = coalesce(cancel_requested_at, now()),
    cancel_grace_seconds = CAST(:grace AS real), cancel_requested_by = coalesce(cancel_requested_by, :by)
WHERE id = CAST(:id AS uuid)
RETURNING id, place <> 'sent' AND dispatch = 0 AS never_sent, state, attempt
), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM asked WHERE EXISTS (SELECT
    FROM live_listening WHERE until > now()) HAVING count(*) > 0)
SELECT never_sent, state, attempt FROM asked;

-- _REVOKE
-- A request for more than this one asks for stays.
UPDATE task_live t SET cancel_requested_at = coalesce(t.cancel_requested_at, now()),
    cancel_requested_by = coalesce(t.cancel_requested_by, e.by),
    cancel_grace_seconds = least(coalesce(t.cancel_grace_seconds, 'infinity'), e.grace)
    FROM unnest(CAST(:id AS uuid[]), CAST(:by AS text[]), CAST(:grace AS real[])) AS e (id, by, grace)
    WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]));

-- _OPEN_REQUESTS
-- A limit for each kind: those whose claims cannot be closed now must not hide those that need no claim.
(
    SELECT id, attempt, true AS never_sent FROM task_live
    WHERE cancel_requested_at IS NOT NULL AND state <> 'running' AND place <> 'sent' AND dispatch = 0 ORDER BY id
        LIMIT :most
) UNION ALL (
    SELECT id, attempt, false AS never_sent FROM task_live
    WHERE cancel_requested_at IS NOT NULL AND state <> 'running' AND NOT (place <> 'sent' AND dispatch = 0)
        ORDER BY id LIMIT :most
);

-- _SENT_REQUESTS
SELECT id, attempt FROM task_live
WHERE cancel_requested_at IS NOT NULL AND state <> 'running' AND place = 'sent' AND id > CAST(:above AS uuid)
ORDER BY id LIMIT :most;

-- _RUNNING
SELECT id, cancel_grace_seconds AS grace FROM task_live
WHERE cancel_requested_at IS NOT NULL AND cancel_grace_seconds < 'infinity' AND state = 'running'
ORDER BY id LIMIT :most;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/changing.py
-- Changes of a task that waits in PostgreSQL: its queue, its priority, when it is due.

-- _CHANGE
-- What was sent may start at any moment, and what is alone in quarantine keeps its queue empty for it. One that began an
-- attempt before waits for the next one.
WITH changed AS (UPDATE task_live t SET queue = coalesce(CAST(:queue AS text), t.queue),
    sla_seconds = coalesce(CAST(:sla_seconds AS real), t.sla_seconds),
    priority = coalesce(CAST(:priority AS smallint), t.priority),
    due_at = CASE WHEN (CAST(:due_at AS timestamptz) IS NOT NULL
        OR CAST(:delay_seconds AS float8) IS NOT NULL) THEN greatest(now(), coalesce(CAST(:due_at AS timestamptz),
        now() + CAST(:delay_seconds AS float8) * interval '1 second')) ELSE t.due_at END,
    scheduled_at = CASE WHEN ((CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL)
        AND greatest(now(), coalesce(CAST(:due_at AS timestamptz),
        now() + CAST(:delay_seconds AS float8) * interval '1 second')) > now()) THEN greatest(now(),
        coalesce(CAST(:due_at AS timestamptz), now() + CAST(:delay_seconds AS float8) * interval '1 second'))
        WHEN (CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL) THEN NULL
        ELSE t.scheduled_at END,
    delay_seconds = CASE WHEN (CAST(:due_at AS timestamptz) IS NOT NULL
        OR CAST(:delay_seconds AS float8) IS NOT NULL) THEN NULL ELSE t.delay_seconds END,
    held_wait_seconds = CASE WHEN (CAST(:due_at AS timestamptz) IS NOT NULL
        OR CAST(:delay_seconds AS float8) IS NOT NULL) THEN 0 ELSE t.held_wait_seconds END,
    held_seconds = t.held_seconds + CASE WHEN ((CAST(:due_at AS timestamptz) IS NOT NULL
        OR CAST(:delay_seconds AS float8) IS NOT NULL) AND greatest(now(), coalesce(CAST(:due_at AS timestamptz),
        now() + CAST(:delay_seconds AS float8) * interval '1 second')) > now()) THEN CASE
        WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch FROM now() - t.held_at)::float8) END ELSE 0 END,
    held_reason = CASE WHEN ((CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL)
        AND greatest(now(), coalesce(CAST(:due_at AS timestamptz),
        now() + CAST(:delay_seconds AS float8) * interval '1 second')) > now()) THEN NULL ELSE t.held_reason END,
    held_at = CASE WHEN ((CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL)
        AND greatest(now(), coalesce(CAST(:due_at AS timestamptz),
        now() + CAST(:delay_seconds AS float8) * interval '1 second')) > now()) THEN NULL ELSE t.held_at END,
    state = CASE WHEN ((CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL)
        AND greatest(now(), coalesce(CAST(:due_at AS timestamptz),
        now() + CAST(:delay_seconds AS float8) * interval '1 second')) > now()) AND (t.attempt = 0
        OR t.state = 'scheduled') THEN 'scheduled'
        WHEN ((CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL)
            AND greatest(now(), coalesce(CAST(:due_at AS timestamptz),
            now() + CAST(:delay_seconds AS float8) * interval '1 second')) > now()) THEN 'retrying'
            WHEN ((CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL)
            AND NOT ((CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL)
            AND greatest(now(), coalesce(CAST(:due_at AS timestamptz),
            now() + CAST(:delay_seconds AS float8) * interval '1 second')) > now())
            AND t.place = 'asleep') THEN 'queued' ELSE t.state END,
    place = CASE WHEN ((CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL)
        AND greatest(now(), coalesce(CAST(:due_at AS timestamptz),
        now() + CAST(:delay_seconds AS float8) * interval '1 second')) > now()) THEN 'asleep'
        WHEN ((CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL)
        AND NOT ((CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL)
        AND greatest(now(), coalesce(CAST(:due_at AS timestamptz),
        now() + CAST(:delay_seconds AS float8) * interval '1 second')) > now()) AND t.place = 'asleep') THEN 'waiting'
        ELSE t.place END
WHERE id = CAST(:id AS uuid) AND t.place <> 'sent' AND t.cancel_requested_at IS NULL
    AND t.held_reason IS DISTINCT FROM 'quarantine'
    AND NOT EXISTS (SELECT FROM quarantine_queue q WHERE q.task_id = t.id)
    AND (NOT ((CAST(:due_at AS timestamptz) IS NOT NULL OR CAST(:delay_seconds AS float8) IS NOT NULL)
        AND greatest(now(), coalesce(CAST(:due_at AS timestamptz),
        now() + CAST(:delay_seconds AS float8) * interval '1 second')) > now()) OR t.expires_at IS NULL
        OR t.expires_at > greatest(now(), coalesce(CAST(:due_at AS timestamptz),
        now() + CAST(:delay_seconds AS float8) * interval '1 second')))
RETURNING t.id), told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM changed WHERE EXISTS (SELECT
    FROM live_listening WHERE until > now()) HAVING count(*) > 0)
SELECT count(*) FROM changed;

-- _PLACE
SELECT state, queue, priority, due_at FROM task_live WHERE id = CAST(:id AS uuid) FOR UPDATE;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/dead_letters.py
-- The dead letters: failed tasks that were not run again.

-- groups_of (all)
WITH part AS (
    SELECT task_type, error_type, queue, sum(tasks)::bigint AS tasks FROM (
        SELECT task_type, error_type, queue, tasks FROM dead_letter_count WHERE hour = '-infinity'
        UNION ALL SELECT task_type, error_type, queue, tasks FROM dead_letter_delta WHERE true
    ) AS every GROUP BY task_type, error_type, queue HAVING sum(tasks) > 0
), letters AS (
    SELECT n.task_type, n.error_type, sum(n.tasks)::bigint AS tasks,
        array_agg(n.queue ORDER BY n.queue) FILTER (WHERE n.tasks > 0) AS queues
    FROM part n GROUP BY n.task_type, n.error_type HAVING sum(n.tasks) > 0
    ORDER BY sum(n.tasks) DESC, n.task_type, n.error_type LIMIT :most
)
SELECT l.task_type, nullif(l.error_type, '') AS error_type, l.tasks, f.first_failed_at, f.last_failed_at,
    f.example_id, l.queues, t.error_message AS example_message
FROM letters l CROSS JOIN LATERAL (
    SELECT min(first.failed_at) AS first_failed_at, max(last.failed_at) AS last_failed_at,
        (array_agg(last.task_id ORDER BY last.failed_at DESC, last.task_id DESC))[1] AS example_id
    FROM unnest(l.queues) AS q (queue)
        CROSS JOIN LATERAL (SELECT d.failed_at FROM dead_letter d WHERE d.task_type = l.task_type
            AND d.error_type = l.error_type AND d.queue = q.queue ORDER BY d.failed_at LIMIT 1) AS first
        CROSS JOIN LATERAL (
            SELECT d.failed_at, d.task_id FROM dead_letter d WHERE d.task_type = l.task_type
                AND d.error_type = l.error_type AND d.queue = q.queue ORDER BY d.failed_at DESC, d.task_id DESC
                LIMIT 1) AS last
) AS f JOIN task t ON t.id = f.example_id
ORDER BY l.tasks DESC, l.task_type, l.error_type;

-- groups_of_tasks (all)
SELECT g.*, t.error_message AS example_message FROM (
    SELECT task_type, error_type, count(*) AS tasks, min(finished_at) AS first_failed_at,
        max(finished_at) AS last_failed_at, (array_agg(id ORDER BY finished_at DESC, id DESC))[1] AS example_id,
        array_agg(DISTINCT queue ORDER BY queue) AS queues
    FROM task WHERE state = 'failed' AND NOT EXISTS (SELECT FROM replayed_task r WHERE r.task_id = task.id)
        GROUP BY task_type, error_type
    ORDER BY tasks DESC, task_type, error_type LIMIT :most
) AS g JOIN task t ON t.id = g.example_id
ORDER BY g.tasks DESC, g.task_type, g.error_type;

-- chosen_of (all)
WITH found AS (SELECT id FROM task WHERE state = 'failed' AND NOT EXISTS (SELECT FROM replayed_task r
    WHERE r.task_id = task.id))
SELECT (SELECT count(*) FROM found) AS matched, ARRAY(SELECT id FROM found ORDER BY id LIMIT :most) AS ids;

-- groups_of (by all that is asked)
WITH part AS (
    SELECT task_type, error_type, queue, sum(tasks)::bigint AS tasks FROM (
        SELECT task_type, error_type, queue, tasks FROM dead_letter_count WHERE hour = '-infinity'
            AND task_type = :task_type AND error_type = :error_type AND queue = :queue
        UNION ALL SELECT task_type, error_type, queue, tasks FROM dead_letter_delta WHERE true
            AND task_type = :task_type AND error_type = :error_type AND queue = :queue
    ) AS every GROUP BY task_type, error_type, queue HAVING sum(tasks) > 0
), recent AS (
    SELECT task_type, error_type, queue, sum(tasks) AS tasks FROM dead_letter_delta WHERE false
        AND task_type = :task_type AND error_type = :error_type AND queue = :queue
    GROUP BY task_type, error_type, queue
), within AS MATERIALIZED (
    SELECT p.task_type, p.error_type, p.queue, (SELECT count(*) FROM dead_letter d WHERE d.task_type = p.task_type
        AND d.error_type = p.error_type AND d.queue = p.queue AND d.failed_at >= :failed_after
        AND d.failed_at < :failed_before) + coalesce(r.tasks, 0) AS tasks
    FROM part p LEFT JOIN recent r ON r.task_type = p.task_type AND r.error_type = p.error_type AND r.queue = p.queue
), letters AS (
    SELECT n.task_type, n.error_type, sum(n.tasks)::bigint AS tasks,
        array_agg(n.queue ORDER BY n.queue) FILTER (WHERE n.tasks > 0) AS queues
    FROM within n GROUP BY n.task_type, n.error_type HAVING sum(n.tasks) > 0
    ORDER BY sum(n.tasks) DESC, n.task_type, n.error_type LIMIT :most
)
SELECT l.task_type, nullif(l.error_type, '') AS error_type, l.tasks, f.first_failed_at, f.last_failed_at,
    f.example_id, l.queues, t.error_message AS example_message
FROM letters l CROSS JOIN LATERAL (
    SELECT min(first.failed_at) AS first_failed_at, max(last.failed_at) AS last_failed_at,
        (array_agg(last.task_id ORDER BY last.failed_at DESC, last.task_id DESC))[1] AS example_id
    FROM unnest(l.queues) AS q (queue)
        CROSS JOIN LATERAL (SELECT d.failed_at FROM dead_letter d WHERE d.task_type = l.task_type
            AND d.error_type = l.error_type AND d.queue = q.queue AND d.failed_at >= :failed_after
            AND d.failed_at < :failed_before ORDER BY d.failed_at LIMIT 1) AS first
        CROSS JOIN LATERAL (
            SELECT d.failed_at, d.task_id FROM dead_letter d WHERE d.task_type = l.task_type
                AND d.error_type = l.error_type AND d.queue = q.queue AND d.failed_at >= :failed_after
                AND d.failed_at < :failed_before ORDER BY d.failed_at DESC, d.task_id DESC LIMIT 1) AS last
) AS f JOIN task t ON t.id = f.example_id
ORDER BY l.tasks DESC, l.task_type, l.error_type;

-- groups_of_tasks (by all that is asked)
SELECT g.*, t.error_message AS example_message FROM (
    SELECT task_type, error_type, count(*) AS tasks, min(finished_at) AS first_failed_at,
        max(finished_at) AS last_failed_at, (array_agg(id ORDER BY finished_at DESC, id DESC))[1] AS example_id,
        array_agg(DISTINCT queue ORDER BY queue) AS queues
    FROM task WHERE state = 'failed' AND NOT EXISTS (SELECT FROM replayed_task r WHERE r.task_id = task.id)
        AND task_type = :task_type AND error_type = :error_type AND queue = :queue AND finished_at >= :failed_after
        AND finished_at < :failed_before AND id < CAST(:highest AS uuid) GROUP BY task_type, error_type
    ORDER BY tasks DESC, task_type, error_type LIMIT :most
) AS g JOIN task t ON t.id = g.example_id
ORDER BY g.tasks DESC, g.task_type, g.error_type;

-- chosen_of (by all that is asked)
WITH found AS (SELECT id FROM task WHERE state = 'failed' AND NOT EXISTS (SELECT FROM replayed_task r
    WHERE r.task_id = task.id) AND task_type = :task_type AND error_type = :error_type AND queue = :queue
    AND finished_at >= :failed_after AND finished_at < :failed_before AND id < CAST(:highest AS uuid))
SELECT (SELECT count(*) FROM found) AS matched, ARRAY(SELECT id FROM found ORDER BY id LIMIT :most) AS ids;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/ending.py
-- The end-door: every task ends here, whoever ends it, with its counters and with whoever is to be told of it.

-- _END
-- The DELETE is the fence, and asks for the legal moves. A success ends the task unless a newer attempt runs; a failure
-- only while no newer attempt began and none may follow, unless its cancel was requested; an expiry or a cancel only
-- while nothing runs.
WITH gone AS (DELETE FROM task_live t USING unnest(CAST(:id AS uuid[]), CAST(:attempt AS smallint[]),
    CAST(:state AS text[]), CAST(:finished_at AS timestamptz[]), CAST(:started_at AS timestamptz[]),
    CAST(:worker AS text[]), CAST(:run_seconds AS float8[]), CAST(:result AS text[]), CAST(:error_type AS text[]),
    CAST(:error_message AS text[]), CAST(:error_traceback AS text[]), CAST(:progress AS text[]),
    CAST(:max_attempts AS smallint[]), CAST(:error_group AS uuid[]), CAST(:retry_at AS timestamptz[])) AS e (id,
    attempt, state, finished_at, started_at, worker, run_seconds, result, error_type, error_message, error_traceback,
    progress, max_attempts, error_group, retry_at)
    WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[])) AND CASE e.state
        WHEN 'succeeded' THEN t.state NOT IN ('scheduled') AND (t.attempt <= e.attempt OR t.state <> 'running')
        WHEN 'failed' THEN t.state NOT IN ('scheduled') AND t.attempt <= e.attempt
            AND ((t.cancel_requested_at IS NOT NULL AND t.cancel_grace_seconds IS NOT NULL)
                OR NOT (e.retry_at IS NOT NULL AND e.attempt - t.interruptions < coalesce(e.max_attempts,
                t.max_attempts)))
        WHEN 'cancelled' THEN true AND t.state <> 'running'
        WHEN 'expired' THEN true AND t.state <> 'running' END
    RETURNING e.finished_at,
        e.run_seconds,
        CASE WHEN e.started_at IS NOT NULL THEN greatest(0, extract(epoch
            FROM e.started_at - t.due_at) - t.held_wait_seconds)::float8 END AS queue_wait_seconds,
        e.result,
        CASE WHEN e.error_type IS NULL AND e.state IN ('cancelled', 'expired')
            AND t.attempt > 0 THEN (SELECT a.error_type FROM task_attempt a WHERE a.task_id = t.id
            AND a.attempt = t.attempt) ELSE e.error_type END AS error_type,
        CASE WHEN e.error_type IS NULL AND e.state IN ('cancelled', 'expired')
            AND t.attempt > 0 THEN (SELECT a.error_message FROM task_attempt a WHERE a.task_id = t.id
            AND a.attempt = t.attempt) ELSE e.error_message END AS error_message,
        CASE WHEN e.error_type IS NULL AND e.state IN ('cancelled', 'expired')
            AND t.attempt > 0 THEN (SELECT a.error_traceback FROM task_attempt a WHERE a.task_id = t.id
            AND a.attempt = t.attempt) ELSE e.error_traceback END AS error_traceback,
        CASE WHEN e.state = 'failed' AND (t.cancel_requested_at IS NOT NULL
            AND t.cancel_grace_seconds IS NOT NULL) THEN NULL ELSE CASE WHEN e.error_type IS NULL
            AND e.state IN ('cancelled', 'expired') AND t.attempt > 0 THEN (SELECT a.error_group FROM task_attempt a
            WHERE a.task_id = t.id AND a.attempt = t.attempt) ELSE e.error_group END END AS error_group,
        t.id,
        CASE WHEN e.state = 'failed' AND (t.cancel_requested_at IS NOT NULL
            AND t.cancel_grace_seconds IS NOT NULL) THEN 'cancelled' ELSE e.state END AS state,
        t.task_type,
        t.queue,
        t.priority,
        greatest(t.attempt, e.attempt) AS attempt,
        t.max_attempts,
        t.interruptions,
        t.uncertain_sendings,
        t.dispatch,
        t.sla_seconds,
        t.timeout_seconds,
        t.requested_timeout_seconds,
        t.delay_seconds,
        t.submitted_at,
        t.due_at,
        t.scheduled_at,
        t.expires_at,
        coalesce(e.started_at, t.started_at) AS started_at,
        t.caller,
        t.fairness_key,
        coalesce(e.worker, t.worker) AS worker,
        t.args,
        t.kwargs,
        t.tags,
        t.traceparent,
        t.dependencies,
        t.held_reason,
        t.held_seconds + CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0, extract(epoch
            FROM e.finished_at - t.held_at)::float8) END AS held_seconds,
        coalesce(t.sla_met, CASE WHEN e.started_at IS NOT NULL THEN CASE
            WHEN e.started_at IS NOT NULL THEN greatest(0, extract(epoch
            FROM e.started_at - t.due_at) - t.held_wait_seconds)::float8 END <= t.sla_seconds WHEN extract(epoch
            FROM e.finished_at - t.due_at) - t.held_wait_seconds - CASE WHEN t.held_at IS NULL THEN 0 ELSE greatest(0,
            extract(epoch FROM e.finished_at - greatest(t.held_at,
            t.due_at))::float8) END > t.sla_seconds THEN false END) AS sla_met,
        coalesce(e.progress, t.progress) AS progress,
        t.cancel_requested_at,
        t.cancel_requested_by,
        t.replayed_from, t.attempt < e.attempt AS first_seen,
        CASE WHEN t.place <> 'sent' THEN t.state END AS waited_as,
        CASE WHEN t.place = 'held' THEN t.held_reason END AS waited_for
), waits_no_more AS (
    INSERT INTO backlog_delta (queue, state, held_reason, tasks)
    SELECT queue, waited_as, coalesce(waited_for, ''), -count(*) FROM gone WHERE waited_as IS NOT NULL GROUP BY 1, 2,
        3
), kept AS (INSERT INTO task (finished_at, run_seconds, queue_wait_seconds, result, error_type, error_message,
    error_traceback, error_group, id, state, task_type, queue, priority, attempt, max_attempts, interruptions,
    uncertain_sendings, dispatch, sla_seconds, timeout_seconds, requested_timeout_seconds, delay_seconds,
    submitted_at, due_at, scheduled_at, expires_at, started_at, caller, fairness_key, worker, args, kwargs, tags,
    traceparent, dependencies, held_reason, held_seconds, sla_met, progress, cancel_requested_at, cancel_requested_by,
    replayed_from) SELECT finished_at, run_seconds, queue_wait_seconds, result, error_type, error_message,
    error_traceback, error_group, id, state, task_type, queue, priority, attempt, max_attempts, interruptions,
    uncertain_sendings, dispatch, sla_seconds, timeout_seconds, requested_timeout_seconds, delay_seconds,
    submitted_at, due_at, scheduled_at, expires_at, started_at, caller, fairness_key, worker, args, kwargs, tags,
    traceparent, dependencies, held_reason, held_seconds, sla_met, progress, cancel_requested_at, cancel_requested_by,
    replayed_from FROM gone)
, told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM gone WHERE EXISTS (SELECT FROM live_listening
    WHERE until > now()) HAVING count(*) > 0)
SELECT id, task_type, queue, first_seen, attempt, queue_wait_seconds, sla_met, state, caller, held_seconds FROM gone;

-- _STILL_THERE
-- A worker may have begun it since it was looked for; the lock keeps that from happening before its end.
SELECT id, attempt, task_type FROM task_live
WHERE (id = ANY(CAST(:never_sent AS uuid[])) AND place <> 'sent' AND dispatch = 0)
    OR (id = ANY(CAST(:closed AS uuid[])) AND state <> 'running')
ORDER BY id FOR UPDATE;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/explaining.py
-- What is asked to explain one task. Each answer is bounded, however long the backlog.

-- _LIVE
SELECT state, place, sent_at, held_at, unclaimed::float8, unclaimed_reason, interrupted_in_a_row,
    cancel_grace_seconds::float8, timeout_seconds::float8, place = 'waiting' AND coalesce(
        (SELECT true FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
        AND (t.queue, t.priority, t.caller, t.fairness_key) < (f.queue, f.priority, f.caller, f.fairness_key)
        AND (t.queue, t.priority) >= (f.queue, f.priority)
        ORDER BY t.queue DESC, t.priority DESC, t.caller DESC, t.fairness_key DESC LIMIT 1),
        (SELECT true FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
        AND (t.queue, t.priority, t.caller, t.fairness_key) > (f.queue, f.priority, f.caller, f.fairness_key)
        AND (t.queue, t.priority) <= (f.queue, f.priority)
        ORDER BY t.queue, t.priority, t.caller, t.fairness_key LIMIT 1), false) AS takes_turns
FROM task_live f WHERE id = CAST(:id AS uuid);

-- _AHEAD_UNSENT
SELECT count(*) FROM (
    (SELECT FROM generate_series(CAST(:priority AS int) + 1, 10) AS p (priority) CROSS JOIN LATERAL (
        SELECT FROM task_live t WHERE t.place = 'waiting' AND t.queue = :queue AND t.priority = p.priority
            ORDER BY t.due_at LIMIT :most) AS t LIMIT :most)
    UNION ALL
    (SELECT FROM task_live t WHERE t.place = 'waiting' AND t.queue = :queue AND t.priority = CAST(:priority AS int)
        AND (t.due_at, t.id) < (:due_at, CAST(:id AS uuid)) ORDER BY t.due_at, t.id LIMIT :most)
    UNION ALL
    (SELECT FROM generate_series(CAST(:priority AS int), 10) AS p (priority) CROSS JOIN LATERAL (
SELECT FROM task_live t WHERE t.place = 'sent' AND t.queue = :queue AND t.priority = p.priority
    AND t.state = 'queued' ORDER BY t.sent_at LIMIT :most) AS t LIMIT :most)
    LIMIT :most
) AS before;

-- _AHEAD_OF_ITS_PRIORITY
SELECT count(*) FROM (
    (SELECT FROM generate_series(CAST(:priority AS int) + 1, 10) AS p (priority) CROSS JOIN LATERAL (
        SELECT FROM task_live t WHERE t.place = 'waiting' AND t.queue = :queue AND t.priority = p.priority
            ORDER BY t.due_at LIMIT :most) AS t LIMIT :most)
    UNION ALL
    (SELECT FROM generate_series(CAST(:priority AS int), 10) AS p (priority) CROSS JOIN LATERAL (
SELECT FROM task_live t WHERE t.place = 'sent' AND t.queue = :queue AND t.priority = p.priority
    AND t.state = 'queued' ORDER BY t.sent_at LIMIT :most) AS t LIMIT :most)
    LIMIT :most
) AS before;

-- _AHEAD_SENT
SELECT count(*) FROM (
    (SELECT FROM generate_series(CAST(:priority AS int) + 1, 10) AS p (priority) CROSS JOIN LATERAL (
SELECT FROM task_live t WHERE t.place = 'sent' AND t.queue = :queue AND t.priority = p.priority
    AND t.state = 'queued' ORDER BY t.sent_at LIMIT :most) AS t LIMIT :most)
    UNION ALL
    (
SELECT FROM task_live t WHERE t.place = 'sent' AND t.queue = :queue AND t.priority = CAST(:priority AS int)
    AND t.state = 'queued'
        AND (t.sent_at, t.due_at, t.id) < (:sent_at, :due_at, CAST(:id AS uuid)) ORDER BY t.sent_at LIMIT :most)
    LIMIT :most
) AS before;

-- _RUNS
SELECT id, task_type, started_at, progress FROM task_live WHERE id = ANY(CAST(:ids AS uuid[]));

-- _HELD
-- Only a range with an order makes the planner take the index (``store.queues.holding``).
SELECT task_type, count(*)::int AS tasks FROM (
    SELECT task_type FROM task_live WHERE place = 'held' AND held_reason = :reason
    ORDER BY task_type, queue LIMIT :most) AS first_ones
GROUP BY task_type ORDER BY tasks DESC, task_type;

-- _HELD_AT
SELECT count(*) FROM (
SELECT FROM task_live WHERE place = 'held' AND held_reason = :reason
    AND task_type BETWEEN :task_type AND :task_type AND queue BETWEEN :queue AND :queue
ORDER BY task_type, queue LIMIT :most) AS first_ones;

-- _PUBLISHER
(SELECT w.name, w.last_seen_at, c.published_at, 0 AS place FROM worker_catalogue c LEFT JOIN worker w USING (owner)
    WHERE c.content_hashes && ARRAY(SELECT content_hash FROM task_type WHERE name = :task_type)
    ORDER BY c.published_at DESC LIMIT 1)
UNION ALL
(SELECT NULL, NULL, last_published_at, 1 FROM task_type WHERE name = :task_type
    ORDER BY last_published_at DESC LIMIT 1)
ORDER BY place LIMIT 1;

-- _BEGUN
SELECT count(*) FROM (
    SELECT FROM task_live WHERE place = 'sent' AND queue = :queue AND state = 'running' LIMIT :most
) AS first_ones;

-- _KNOWING
SELECT owner FROM worker_catalogue WHERE owner = ANY(CAST(:owners AS text[]))
AND content_hashes && ARRAY(SELECT content_hash FROM task_type WHERE name = :task_type);

-- _HEAD
-- A probe of the index for each priority, and one for what was sent.
(SELECT t.id FROM generate_series(0, 10) AS p (priority) CROSS JOIN LATERAL (
    SELECT t.id, t.priority, t.due_at FROM task_live t WHERE t.place = 'waiting' AND t.queue = :queue
        AND t.priority = p.priority AND t.cancel_requested_at IS NULL ORDER BY t.due_at, t.id LIMIT 1) AS t
    ORDER BY t.priority DESC LIMIT 1)
UNION ALL
(SELECT t.id FROM generate_series(0, 10) AS p (priority) CROSS JOIN LATERAL (
    SELECT t.id, t.sent_at FROM task_live t WHERE t.place = 'sent' AND t.queue = :queue
        AND t.priority = p.priority AND t.state = 'queued' ORDER BY t.sent_at LIMIT 1) AS t
    ORDER BY t.sent_at LIMIT 1)
LIMIT 1;

-- _HELD_FIRST
-- Of those that are held for the longest, whatever queue they are of.
SELECT h.id FROM (
    SELECT id, queue, cancel_requested_at FROM task_live WHERE place = 'held' ORDER BY id LIMIT :most
) AS h WHERE h.queue = :queue AND h.cancel_requested_at IS NULL ORDER BY h.id LIMIT 1;

-- _NODES
SELECT name, last_seen_at, processes FROM worker WHERE CAST(:queue AS text) = ANY(queues)
ORDER BY last_seen_at DESC LIMIT :most;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/following.py
-- Tasks as whoever follows them sees them: what moves while they live, and nothing that their author or caller wrote
-- but how far they are.

-- _FOLLOWED
-- In one statement: a task that ends meanwhile is in exactly one of the two. The bounds keep days of others shut.
SELECT id, task_type, queue, priority, caller, tags, state, attempt, max_attempts, worker, submitted_at, due_at,
    started_at, CAST(NULL AS timestamptz) AS finished_at, CAST(NULL AS float8) AS queue_wait_seconds,
    CAST(NULL AS float8) AS run_seconds, held_reason, cancel_requested_at, CASE WHEN state <> 'running'
    AND attempt > 0 THEN (SELECT a.error_type FROM task_attempt a WHERE a.task_id = task_live.id
    AND a.attempt = task_live.attempt) END AS error_type, CASE WHEN state <> 'running'
    AND attempt > 0 THEN (SELECT a.error_group FROM task_attempt a WHERE a.task_id = task_live.id
    AND a.attempt = task_live.attempt) END AS error_group, progress FROM task_live
    WHERE id = ANY(CAST(:ids AS uuid[])) AND id BETWEEN CAST(:lowest AS uuid) AND CAST(:highest AS uuid)
UNION ALL
SELECT id, task_type, queue, priority, caller, tags, state, attempt, max_attempts, worker, submitted_at, due_at,
    started_at, finished_at, queue_wait_seconds, run_seconds, held_reason, cancel_requested_at, error_type,
    error_group, progress FROM task WHERE id = ANY(CAST(:ids AS uuid[])) AND id BETWEEN CAST(:lowest AS uuid)
    AND CAST(:highest AS uuid);

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/in_turn.py
-- How many tasks go before one that waits, where callers take turns. Bounded, however long the line.

-- _OWN
-- Of those that wait alone as many are looked at, for these are in no index of shares.
SELECT (SELECT count(*) FROM (
    SELECT FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
        AND (t.queue, t.priority, t.caller, t.fairness_key) >= (CAST(:queue AS text), CAST(:priority AS smallint),
            CAST(:caller AS text),
            CAST(:key AS text))
        AND (t.queue, t.priority, t.caller, t.fairness_key, t.due_at, t.id) < (CAST(:queue AS text),
            CAST(:priority AS smallint), CAST(:caller AS text),
            CAST(:key AS text), CAST(:due_at AS timestamptz), CAST(:id AS uuid))
    ORDER BY t.queue, t.priority, t.caller, t.fairness_key LIMIT :most) AS in_turn
) + (SELECT count(*) FROM (
    SELECT t.caller, t.fairness_key, t.alone FROM task_live t
    WHERE t.place = 'waiting' AND t.queue = CAST(:queue AS text) AND t.priority = CAST(:priority AS smallint)
        AND (t.due_at, t.id) < (CAST(:due_at AS timestamptz), CAST(:id AS uuid))
    ORDER BY t.due_at, t.id LIMIT :most) AS first_ones
    WHERE alone AND caller = CAST(:caller AS text) AND fairness_key = CAST(:key AS text)
) AS before;

-- _OTHERS
SELECT count(*) FROM (SELECT FROM unnest(CAST(:caller AS text[]), CAST(:low AS text[]), CAST(:high AS text[]),
    CAST(:turns AS integer[])) AS w (caller, low, high, turns) CROSS JOIN LATERAL (
    SELECT FROM task_live t WHERE t.place = 'waiting' AND NOT t.alone
        AND (t.queue, t.priority, t.caller, t.fairness_key) >= (CAST(:queue AS text), CAST(:priority AS smallint),
            w.caller, w.low)
        AND (t.queue, t.priority, t.caller, t.fairness_key) <= (CAST(:queue AS text), CAST(:priority AS smallint),
            w.caller, w.high)
    ORDER BY t.queue, t.priority, t.caller, t.fairness_key LIMIT w.turns) AS first_ones
LIMIT :most) AS before;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/locking.py
-- The order in which rows of ``task_live`` are locked, so that nobody waits for each other in a circle.

-- _LOCK
SELECT FROM task_live WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/looking.py
-- One look at tasks for a list: so many rows of one table, down an index or all that an index finds.

-- at_live (all), down
WITH looked AS MATERIALIZED (SELECT id, (true) AS hit FROM task_live WHERE true AND id >= CAST(:low AS uuid)
    AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_ended (all), down
WITH looked AS MATERIALIZED (SELECT id, (true) AS hit FROM task WHERE true AND id >= CAST(:low AS uuid)
    AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_finished (all), down
WITH looked AS MATERIALIZED (SELECT id, finished_at, (true) AS hit FROM task WHERE true AND (finished_at,
    id) < (CAST(:high_at AS timestamptz), CAST(:high AS uuid)) ORDER BY finished_at DESC, id DESC LIMIT :looks),
hits AS (SELECT id, finished_at FROM looked WHERE hit ORDER BY finished_at DESC, id DESC LIMIT :most)
SELECT (SELECT count(*) FROM looked) AS looked,
    (SELECT finished_at FROM looked ORDER BY finished_at, id LIMIT 1) AS last_at,
    (SELECT id FROM looked ORDER BY finished_at, id LIMIT 1) AS last,
    ARRAY(SELECT id FROM hits ORDER BY finished_at DESC, id DESC) AS found,
    ARRAY(SELECT finished_at FROM hits ORDER BY finished_at DESC, id DESC) AS found_at;

-- at_live (of a queue), down
WITH looked AS MATERIALIZED (SELECT id, (queue = :queue) AS hit FROM task_live WHERE true AND id >= CAST(:low AS uuid)
    AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_live (of a queue), gather
WITH looked AS MATERIALIZED (SELECT * FROM ((SELECT id, (queue = :queue) AS hit FROM task_live WHERE place = 'asleep'
    AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) LIMIT :looks) UNION ALL (SELECT id,
    (queue = :queue) AS hit FROM task_live WHERE place = 'held' AND id >= CAST(:low AS uuid)
    AND id < CAST(:high AS uuid) LIMIT :looks) UNION ALL (SELECT id, (queue = :queue) AS hit FROM task_live
    WHERE place = 'sent' AND queue = :queue AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid)
    LIMIT :looks) UNION ALL (SELECT id, (queue = :queue) AS hit FROM task_live WHERE place = 'waiting'
    AND queue = :queue AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) LIMIT :looks)) AS sides LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_ended (of a queue), down
WITH looked AS MATERIALIZED (SELECT id, (queue = :queue) AS hit FROM task WHERE true AND id >= CAST(:low AS uuid)
    AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_ended (of a queue), gather
WITH looked AS MATERIALIZED (SELECT id, (queue = :queue) AS hit FROM task
    WHERE array_remove(ARRAY[hashtext('t' || task_type), hashtext('q' || queue), hashtext('c' || caller),
    hashtext('w' || split_part(worker, '#', 1)), hashtext('e' || error_type),
    hashtext('g' || CAST(error_group AS text)), NULLIF(GREATEST(LEAST(attempt, 2), 1), 1)],
    NULL) @> ARRAY[hashtext('q' || CAST(:queue AS text))] AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid)
    LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_finished (of a queue), down
WITH looked AS MATERIALIZED (SELECT id, finished_at, (queue = :queue) AS hit FROM task WHERE true AND (finished_at,
    id) < (CAST(:high_at AS timestamptz), CAST(:high AS uuid)) ORDER BY finished_at DESC, id DESC LIMIT :looks),
hits AS (SELECT id, finished_at FROM looked WHERE hit ORDER BY finished_at DESC, id DESC LIMIT :most)
SELECT (SELECT count(*) FROM looked) AS looked,
    (SELECT finished_at FROM looked ORDER BY finished_at, id LIMIT 1) AS last_at,
    (SELECT id FROM looked ORDER BY finished_at, id LIMIT 1) AS last,
    ARRAY(SELECT id FROM hits ORDER BY finished_at DESC, id DESC) AS found,
    ARRAY(SELECT finished_at FROM hits ORDER BY finished_at DESC, id DESC) AS found_at;

-- at_finished (of a queue), gather
WITH looked AS MATERIALIZED (SELECT id, finished_at, (queue = :queue) AS hit FROM task
    WHERE array_remove(ARRAY[hashtext('t' || task_type), hashtext('q' || queue), hashtext('c' || caller),
    hashtext('w' || split_part(worker, '#', 1)), hashtext('e' || error_type),
    hashtext('g' || CAST(error_group AS text)), NULLIF(GREATEST(LEAST(attempt, 2), 1), 1)],
    NULL) @> ARRAY[hashtext('q' || CAST(:queue AS text))] AND finished_at >= CAST(:low_at AS timestamptz)
    AND (finished_at, id) < (CAST(:high_at AS timestamptz), CAST(:high AS uuid)) LIMIT :looks),
hits AS (SELECT id, finished_at FROM looked WHERE hit ORDER BY finished_at DESC, id DESC LIMIT :most)
SELECT (SELECT count(*) FROM looked) AS looked,
    (SELECT finished_at FROM looked ORDER BY finished_at, id LIMIT 1) AS last_at,
    (SELECT id FROM looked ORDER BY finished_at, id LIMIT 1) AS last,
    ARRAY(SELECT id FROM hits ORDER BY finished_at DESC, id DESC) AS found,
    ARRAY(SELECT finished_at FROM hits ORDER BY finished_at DESC, id DESC) AS found_at;

-- at_live (queued), down
WITH looked AS MATERIALIZED (SELECT id, (state = :state) AS hit FROM task_live WHERE true AND id >= CAST(:low AS uuid)
    AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_live (queued), gather
WITH looked AS MATERIALIZED (SELECT * FROM ((SELECT id, (state = :state) AS hit FROM task_live WHERE place = 'waiting'
    AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) LIMIT :looks) UNION ALL (SELECT id,
    (state = :state) AS hit FROM task_live WHERE place = 'sent' AND id >= CAST(:low AS uuid)
    AND id < CAST(:high AS uuid) LIMIT :looks)) AS sides LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_live (held), down
WITH looked AS MATERIALIZED (SELECT id, (state = :state) AS hit FROM task_live WHERE place = 'held'
    AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_live (held for a reason), down
WITH looked AS MATERIALIZED (SELECT id, (state = 'held' AND held_reason = :held_reason) AS hit FROM task_live
    WHERE place = 'held' AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_live (held for a reason), gather
WITH looked AS MATERIALIZED (SELECT id, (state = 'held' AND held_reason = :held_reason) AS hit FROM task_live
    WHERE place = 'held' AND held_reason = :held_reason AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid)
    LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_ended (held for a reason), down
WITH looked AS MATERIALIZED (SELECT id, (state = 'held' AND held_reason = :held_reason) AS hit FROM task WHERE true
    AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_finished (held for a reason), down
WITH looked AS MATERIALIZED (SELECT id, finished_at, (state = 'held' AND held_reason = :held_reason) AS hit FROM task
    WHERE true AND (finished_at, id) < (CAST(:high_at AS timestamptz), CAST(:high AS uuid)) ORDER BY finished_at DESC,
    id DESC LIMIT :looks),
hits AS (SELECT id, finished_at FROM looked WHERE hit ORDER BY finished_at DESC, id DESC LIMIT :most)
SELECT (SELECT count(*) FROM looked) AS looked,
    (SELECT finished_at FROM looked ORDER BY finished_at, id LIMIT 1) AS last_at,
    (SELECT id FROM looked ORDER BY finished_at, id LIMIT 1) AS last,
    ARRAY(SELECT id FROM hits ORDER BY finished_at DESC, id DESC) AS found,
    ARRAY(SELECT finished_at FROM hits ORDER BY finished_at DESC, id DESC) AS found_at;

-- at_ended (failed), down
WITH looked AS MATERIALIZED (SELECT id, (state = :state) AS hit FROM task WHERE state = 'failed'
    AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_finished (failed), down
WITH looked AS MATERIALIZED (SELECT id, finished_at, (state = :state) AS hit FROM task WHERE state = 'failed'
    AND (finished_at, id) < (CAST(:high_at AS timestamptz), CAST(:high AS uuid)) ORDER BY finished_at DESC, id DESC
    LIMIT :looks),
hits AS (SELECT id, finished_at FROM looked WHERE hit ORDER BY finished_at DESC, id DESC LIMIT :most)
SELECT (SELECT count(*) FROM looked) AS looked,
    (SELECT finished_at FROM looked ORDER BY finished_at, id LIMIT 1) AS last_at,
    (SELECT id FROM looked ORDER BY finished_at, id LIMIT 1) AS last,
    ARRAY(SELECT id FROM hits ORDER BY finished_at DESC, id DESC) AS found,
    ARRAY(SELECT finished_at FROM hits ORDER BY finished_at DESC, id DESC) AS found_at;

-- at_live (by tag), down
WITH looked AS MATERIALIZED (SELECT id, ((tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb)
    OR tags @> CAST(CAST(:tags_0_1 AS text) AS jsonb))) AS hit FROM task_live WHERE true AND id >= CAST(:low AS uuid)
    AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_live (by tag), gather
WITH looked AS MATERIALIZED (SELECT id, ((tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb)
    OR tags @> CAST(CAST(:tags_0_1 AS text) AS jsonb))) AS hit FROM task_live
    WHERE (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb) OR tags @> CAST(CAST(:tags_0_1 AS text) AS jsonb))
    AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_ended (by tag), down
WITH looked AS MATERIALIZED (SELECT id, ((tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb)
    OR tags @> CAST(CAST(:tags_0_1 AS text) AS jsonb))) AS hit FROM task WHERE true AND id >= CAST(:low AS uuid)
    AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_ended (by tag), gather
WITH looked AS MATERIALIZED (SELECT id, ((tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb)
    OR tags @> CAST(CAST(:tags_0_1 AS text) AS jsonb))) AS hit FROM task
    WHERE (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb) OR tags @> CAST(CAST(:tags_0_1 AS text) AS jsonb))
    AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_finished (by tag), down
WITH looked AS MATERIALIZED (SELECT id, finished_at, ((tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb)
    OR tags @> CAST(CAST(:tags_0_1 AS text) AS jsonb))) AS hit FROM task WHERE true AND (finished_at,
    id) < (CAST(:high_at AS timestamptz), CAST(:high AS uuid)) ORDER BY finished_at DESC, id DESC LIMIT :looks),
hits AS (SELECT id, finished_at FROM looked WHERE hit ORDER BY finished_at DESC, id DESC LIMIT :most)
SELECT (SELECT count(*) FROM looked) AS looked,
    (SELECT finished_at FROM looked ORDER BY finished_at, id LIMIT 1) AS last_at,
    (SELECT id FROM looked ORDER BY finished_at, id LIMIT 1) AS last,
    ARRAY(SELECT id FROM hits ORDER BY finished_at DESC, id DESC) AS found,
    ARRAY(SELECT finished_at FROM hits ORDER BY finished_at DESC, id DESC) AS found_at;

-- at_finished (by tag), gather
WITH looked AS MATERIALIZED (SELECT id, finished_at, ((tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb)
    OR tags @> CAST(CAST(:tags_0_1 AS text) AS jsonb))) AS hit FROM task
    WHERE (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb) OR tags @> CAST(CAST(:tags_0_1 AS text) AS jsonb))
    AND finished_at >= CAST(:low_at AS timestamptz) AND (finished_at, id) < (CAST(:high_at AS timestamptz),
    CAST(:high AS uuid)) LIMIT :looks),
hits AS (SELECT id, finished_at FROM looked WHERE hit ORDER BY finished_at DESC, id DESC LIMIT :most)
SELECT (SELECT count(*) FROM looked) AS looked,
    (SELECT finished_at FROM looked ORDER BY finished_at, id LIMIT 1) AS last_at,
    (SELECT id FROM looked ORDER BY finished_at, id LIMIT 1) AS last,
    ARRAY(SELECT id FROM hits ORDER BY finished_at DESC, id DESC) AS found,
    ARRAY(SELECT finished_at FROM hits ORDER BY finished_at DESC, id DESC) AS found_at;

-- at_ended (run again), down
WITH looked AS MATERIALIZED (
    SELECT id, (SELECT (EXISTS (SELECT FROM replayed_task r WHERE r.task_id = id AND NOT r.undone OFFSET 0)) FROM task
        WHERE task.id = again.id) AS hit
    FROM (SELECT r.task_id AS id, r.undone FROM replayed_task r) AS again WHERE NOT undone
        AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks
)
    SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
        (SELECT count(*) FROM looked WHERE hit) AS hits,
        ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_finished (run again), down
WITH looked AS MATERIALIZED (SELECT id, finished_at, (EXISTS (SELECT FROM replayed_task r WHERE r.task_id = id
    AND NOT r.undone OFFSET 0)) AS hit FROM task WHERE true AND (finished_at, id) < (CAST(:high_at AS timestamptz),
    CAST(:high AS uuid)) ORDER BY finished_at DESC, id DESC LIMIT :looks),
hits AS (SELECT id, finished_at FROM looked WHERE hit ORDER BY finished_at DESC, id DESC LIMIT :most)
SELECT (SELECT count(*) FROM looked) AS looked,
    (SELECT finished_at FROM looked ORDER BY finished_at, id LIMIT 1) AS last_at,
    (SELECT id FROM looked ORDER BY finished_at, id LIMIT 1) AS last,
    ARRAY(SELECT id FROM hits ORDER BY finished_at DESC, id DESC) AS found,
    ARRAY(SELECT finished_at FROM hits ORDER BY finished_at DESC, id DESC) AS found_at;

-- at_finished (run again), gather
WITH looked AS MATERIALIZED (
    SELECT r.task_id AS id, t.finished_at, NOT r.undone AND coalesce(t.hit, false) AS hit
    FROM (SELECT task_id, undone FROM replayed_task LIMIT :looks) AS r LEFT JOIN LATERAL (
        SELECT finished_at, (EXISTS (SELECT FROM replayed_task r WHERE r.task_id = id AND NOT r.undone OFFSET 0))
            AND (finished_at, id) < (CAST(:high_at AS timestamptz), CAST(:high AS uuid)) AS hit FROM task
            WHERE task.id = r.task_id OFFSET 0
    ) AS t ON true
),
    hits AS (SELECT id, finished_at FROM looked WHERE hit ORDER BY finished_at DESC, id DESC LIMIT :most)
    SELECT (SELECT count(*) FROM looked) AS looked,
        (SELECT finished_at FROM looked ORDER BY finished_at, id LIMIT 1) AS last_at,
        (SELECT id FROM looked ORDER BY finished_at, id LIMIT 1) AS last,
        ARRAY(SELECT id FROM hits ORDER BY finished_at DESC, id DESC) AS found,
        ARRAY(SELECT finished_at FROM hits ORDER BY finished_at DESC, id DESC) AS found_at;

-- at_ended (by all that is asked), down
WITH looked AS MATERIALIZED (SELECT * FROM ((SELECT id, (queue = :queue AND task_type = :task_type
    AND caller = :caller AND split_part(worker, '#', 1) = :worker AND attempt = :attempts
    AND attempt >= :attempts_at_least AND error_type = :error_type AND error_group = CAST(:error_group AS uuid)
    AND strpos(lower(error_message), lower(CAST(:error_message AS text))) > 0 AND NOT EXISTS (SELECT
    FROM replayed_task r WHERE r.task_id = id AND NOT r.undone OFFSET 0)
    AND (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb)) AND submitted_at >= :submitted_after
    AND id >= CAST(:lowest AS uuid) AND id < CAST(:highest AS uuid) AND submitted_at < :submitted_before
    AND finished_at >= :finished_after AND finished_at < :finished_before) AS hit FROM task WHERE state = 'cancelled'
    AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) ORDER BY id DESC LIMIT :looks) UNION ALL (SELECT id,
    (queue = :queue AND task_type = :task_type AND caller = :caller AND split_part(worker, '#', 1) = :worker
    AND attempt = :attempts AND attempt >= :attempts_at_least AND error_type = :error_type
    AND error_group = CAST(:error_group AS uuid) AND strpos(lower(error_message),
    lower(CAST(:error_message AS text))) > 0 AND NOT EXISTS (SELECT FROM replayed_task r WHERE r.task_id = id
    AND NOT r.undone OFFSET 0) AND (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb))
    AND submitted_at >= :submitted_after AND id >= CAST(:lowest AS uuid) AND id < CAST(:highest AS uuid)
    AND submitted_at < :submitted_before AND finished_at >= :finished_after AND finished_at < :finished_before) AS hit
    FROM task WHERE state = 'expired' AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) ORDER BY id DESC
    LIMIT :looks) UNION ALL (SELECT id, (queue = :queue AND task_type = :task_type AND caller = :caller
    AND split_part(worker, '#', 1) = :worker AND attempt = :attempts AND attempt >= :attempts_at_least
    AND error_type = :error_type AND error_group = CAST(:error_group AS uuid) AND strpos(lower(error_message),
    lower(CAST(:error_message AS text))) > 0 AND NOT EXISTS (SELECT FROM replayed_task r WHERE r.task_id = id
    AND NOT r.undone OFFSET 0) AND (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb))
    AND submitted_at >= :submitted_after AND id >= CAST(:lowest AS uuid) AND id < CAST(:highest AS uuid)
    AND submitted_at < :submitted_before AND finished_at >= :finished_after AND finished_at < :finished_before) AS hit
    FROM task WHERE state = 'failed' AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) ORDER BY id DESC
    LIMIT :looks)) AS sides ORDER BY id DESC LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_ended (by all that is asked), gather
WITH looked AS MATERIALIZED (SELECT id, (queue = :queue AND task_type = :task_type AND caller = :caller
    AND split_part(worker, '#', 1) = :worker AND attempt = :attempts AND attempt >= :attempts_at_least
    AND error_type = :error_type AND error_group = CAST(:error_group AS uuid) AND strpos(lower(error_message),
    lower(CAST(:error_message AS text))) > 0 AND NOT EXISTS (SELECT FROM replayed_task r WHERE r.task_id = id
    AND NOT r.undone OFFSET 0) AND (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb))
    AND submitted_at >= :submitted_after AND id >= CAST(:lowest AS uuid) AND id < CAST(:highest AS uuid)
    AND submitted_at < :submitted_before AND finished_at >= :finished_after AND finished_at < :finished_before) AS hit
    FROM task WHERE (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb))
    AND array_remove(ARRAY[hashtext('t' || task_type), hashtext('q' || queue), hashtext('c' || caller),
    hashtext('w' || split_part(worker, '#', 1)), hashtext('e' || error_type),
    hashtext('g' || CAST(error_group AS text)), NULLIF(GREATEST(LEAST(attempt, 2), 1), 1)],
    NULL) @> ARRAY[hashtext('t' || CAST(:task_type AS text)), hashtext('q' || CAST(:queue AS text)),
    hashtext('c' || CAST(:caller AS text)), hashtext('w' || split_part(CAST(:worker AS text), '#', 1)),
    hashtext('e' || CAST(:error_type AS text)), hashtext('g' || CAST(:error_group AS text)), 2]
    AND id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid) LIMIT :looks)
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT id FROM looked ORDER BY id LIMIT 1) AS last,
    (SELECT count(*) FROM looked WHERE hit) AS hits,
    ARRAY(SELECT id FROM looked WHERE hit ORDER BY id DESC LIMIT :most) AS found;

-- at_finished (by all that is asked), down
WITH looked AS MATERIALIZED (SELECT * FROM ((SELECT id, finished_at, (queue = :queue AND task_type = :task_type
    AND caller = :caller AND split_part(worker, '#', 1) = :worker AND attempt = :attempts
    AND attempt >= :attempts_at_least AND error_type = :error_type AND error_group = CAST(:error_group AS uuid)
    AND strpos(lower(error_message), lower(CAST(:error_message AS text))) > 0 AND NOT EXISTS (SELECT
    FROM replayed_task r WHERE r.task_id = id AND NOT r.undone OFFSET 0)
    AND (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb)) AND submitted_at >= :submitted_after
    AND id >= CAST(:lowest AS uuid) AND id < CAST(:highest AS uuid) AND submitted_at < :submitted_before
    AND finished_at >= :finished_after AND finished_at < :finished_before) AS hit FROM task WHERE state = 'cancelled'
    AND finished_at >= :finished_after AND (finished_at, id) < (CAST(:high_at AS timestamptz), CAST(:high AS uuid))
    ORDER BY finished_at DESC, id DESC LIMIT :looks) UNION ALL (SELECT id, finished_at, (queue = :queue
    AND task_type = :task_type AND caller = :caller AND split_part(worker, '#', 1) = :worker AND attempt = :attempts
    AND attempt >= :attempts_at_least AND error_type = :error_type AND error_group = CAST(:error_group AS uuid)
    AND strpos(lower(error_message), lower(CAST(:error_message AS text))) > 0 AND NOT EXISTS (SELECT
    FROM replayed_task r WHERE r.task_id = id AND NOT r.undone OFFSET 0)
    AND (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb)) AND submitted_at >= :submitted_after
    AND id >= CAST(:lowest AS uuid) AND id < CAST(:highest AS uuid) AND submitted_at < :submitted_before
    AND finished_at >= :finished_after AND finished_at < :finished_before) AS hit FROM task WHERE state = 'expired'
    AND finished_at >= :finished_after AND (finished_at, id) < (CAST(:high_at AS timestamptz), CAST(:high AS uuid))
    ORDER BY finished_at DESC, id DESC LIMIT :looks) UNION ALL (SELECT id, finished_at, (queue = :queue
    AND task_type = :task_type AND caller = :caller AND split_part(worker, '#', 1) = :worker AND attempt = :attempts
    AND attempt >= :attempts_at_least AND error_type = :error_type AND error_group = CAST(:error_group AS uuid)
    AND strpos(lower(error_message), lower(CAST(:error_message AS text))) > 0 AND NOT EXISTS (SELECT
    FROM replayed_task r WHERE r.task_id = id AND NOT r.undone OFFSET 0)
    AND (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb)) AND submitted_at >= :submitted_after
    AND id >= CAST(:lowest AS uuid) AND id < CAST(:highest AS uuid) AND submitted_at < :submitted_before
    AND finished_at >= :finished_after AND finished_at < :finished_before) AS hit FROM task WHERE state = 'failed'
    AND finished_at >= :finished_after AND (finished_at, id) < (CAST(:high_at AS timestamptz), CAST(:high AS uuid))
    ORDER BY finished_at DESC, id DESC LIMIT :looks)) AS sides ORDER BY finished_at DESC, id DESC LIMIT :looks),
hits AS (SELECT id, finished_at FROM looked WHERE hit ORDER BY finished_at DESC, id DESC LIMIT :most)
SELECT (SELECT count(*) FROM looked) AS looked,
    (SELECT finished_at FROM looked ORDER BY finished_at, id LIMIT 1) AS last_at,
    (SELECT id FROM looked ORDER BY finished_at, id LIMIT 1) AS last,
    ARRAY(SELECT id FROM hits ORDER BY finished_at DESC, id DESC) AS found,
    ARRAY(SELECT finished_at FROM hits ORDER BY finished_at DESC, id DESC) AS found_at;

-- at_finished (by all that is asked), gather
WITH looked AS MATERIALIZED (SELECT id, finished_at, (queue = :queue AND task_type = :task_type AND caller = :caller
    AND split_part(worker, '#', 1) = :worker AND attempt = :attempts AND attempt >= :attempts_at_least
    AND error_type = :error_type AND error_group = CAST(:error_group AS uuid) AND strpos(lower(error_message),
    lower(CAST(:error_message AS text))) > 0 AND NOT EXISTS (SELECT FROM replayed_task r WHERE r.task_id = id
    AND NOT r.undone OFFSET 0) AND (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb))
    AND submitted_at >= :submitted_after AND id >= CAST(:lowest AS uuid) AND id < CAST(:highest AS uuid)
    AND submitted_at < :submitted_before AND finished_at >= :finished_after AND finished_at < :finished_before) AS hit
    FROM task WHERE (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb))
    AND array_remove(ARRAY[hashtext('t' || task_type), hashtext('q' || queue), hashtext('c' || caller),
    hashtext('w' || split_part(worker, '#', 1)), hashtext('e' || error_type),
    hashtext('g' || CAST(error_group AS text)), NULLIF(GREATEST(LEAST(attempt, 2), 1), 1)],
    NULL) @> ARRAY[hashtext('t' || CAST(:task_type AS text)), hashtext('q' || CAST(:queue AS text)),
    hashtext('c' || CAST(:caller AS text)), hashtext('w' || split_part(CAST(:worker AS text), '#', 1)),
    hashtext('e' || CAST(:error_type AS text)), hashtext('g' || CAST(:error_group AS text)), 2]
    AND finished_at >= CAST(:low_at AS timestamptz) AND (finished_at, id) < (CAST(:high_at AS timestamptz),
    CAST(:high AS uuid)) LIMIT :looks),
hits AS (SELECT id, finished_at FROM looked WHERE hit ORDER BY finished_at DESC, id DESC LIMIT :most)
SELECT (SELECT count(*) FROM looked) AS looked,
    (SELECT finished_at FROM looked ORDER BY finished_at, id LIMIT 1) AS last_at,
    (SELECT id FROM looked ORDER BY finished_at, id LIMIT 1) AS last,
    ARRAY(SELECT id FROM hits ORDER BY finished_at DESC, id DESC) AS found,
    ARRAY(SELECT finished_at FROM hits ORDER BY finished_at DESC, id DESC) AS found_at;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/purging.py
-- Tasks of a queue that a purge is about: how many there are, as far as that is known, and their end asked for.

-- _PURGE
WITH part AS (
       SELECT id FROM task_live WHERE
   queue = :queue AND state = ANY(CAST(:states AS text[])) AND state <> 'running' AND cancel_requested_at IS NULL
       AND submitted_at < :before AND id < CAST(:highest AS uuid)
AND id > :above ORDER BY id LIMIT :most FOR UPDATE
   ), purged AS (
       UPDATE task_live t SET cancel_requested_at = now(), cancel_grace_seconds = NULL FROM part p WHERE t.id = p.id
       RETURNING t.id
   )
   SELECT count(*) AS tasks, (array_agg(id ORDER BY id DESC))[1] AS last FROM purged;

-- _PURGE_FEW
-- Of one queue an index has those that are due.
WITH part AS (
       SELECT id FROM task_live WHERE
   queue = :queue AND state = ANY(CAST(:states AS text[])) AND state <> 'running' AND cancel_requested_at IS NULL
       AND submitted_at < :before AND id < CAST(:highest AS uuid)
AND id > :above AND id = ANY(ARRAY(
           SELECT id FROM task_live WHERE place = 'waiting' AND queue = :queue
           UNION ALL SELECT id FROM task_live WHERE place = 'sent' AND queue = :queue)) ORDER BY id LIMIT :most
               FOR UPDATE
   ), purged AS (
       UPDATE task_live t SET cancel_requested_at = now(), cancel_grace_seconds = NULL FROM part p WHERE t.id = p.id
       RETURNING t.id
   )
   SELECT count(*) AS tasks, (array_agg(id ORDER BY id DESC))[1] AS last FROM purged;

-- _COUNT
-- The numbers are of all that are there: what came since, and what is to end anyhow, is taken from them.
WITH kept AS (
        SELECT queue, state, held_reason, sum(tasks)::bigint AS tasks FROM (
            SELECT queue, state, held_reason, tasks FROM backlog
            UNION ALL SELECT queue, state, held_reason, tasks FROM backlog_delta
            UNION ALL SELECT queue, 'queued', '', born_waiting FROM task_metrics_delta WHERE born_waiting > 0
            UNION ALL SELECT queue, 'scheduled', '', born_asleep FROM task_metrics_delta WHERE born_asleep > 0
        ) AS numbers WHERE queue = :queue AND state = ANY(CAST(:states AS text[])) GROUP BY queue, state, held_reason
),
    newer AS (
        SELECT queue = :queue AND state = ANY(CAST(:states AS text[])) AND state <> 'running'
            AND submitted_at >= :before AND cancel_requested_at IS NULL AS counts FROM task_live
        WHERE id >= CAST(:lowest AS uuid) ORDER BY id LIMIT :most
    ), ending AS (
        SELECT queue = :queue AND state = ANY(CAST(:states AS text[])) AND state <> 'running' AS counts FROM task_live
            WHERE cancel_requested_at IS NOT NULL LIMIT :most
    )
    SELECT greatest(0, coalesce((SELECT sum(tasks) FROM kept), 0) + (
            SELECT count(*) FROM task_live WHERE place = 'sent' AND queue = :queue
                AND state = ANY(CAST(:states AS text[])) AND state <> 'running'
        ) - newer.tasks - ending.tasks)::bigint AS tasks,
        greatest(newer.looked, ending.looked) >= :most AS is_most
    FROM (SELECT count(*) AS looked, count(*) FILTER (WHERE counts) AS tasks FROM newer) AS newer
        CROSS JOIN (SELECT count(*) AS looked, count(*) FILTER (WHERE counts) AS tasks FROM ending) AS ending;

-- _PENDING
SELECT count(*) FROM (
    SELECT FROM task_live WHERE cancel_requested_at IS NOT NULL AND cancel_grace_seconds IS NULL AND queue = :queue
    LIMIT :most
) AS counted;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/reading.py
-- Tasks as readers see them.

-- _BY_ID
SELECT CAST(NULL AS timestamptz) AS finished_at, CAST(NULL AS float8) AS run_seconds,
    CAST(NULL AS float8) AS queue_wait_seconds, CAST(NULL AS text) AS result, CASE WHEN state <> 'running'
    AND attempt > 0 THEN (SELECT a.error_type FROM task_attempt a WHERE a.task_id = task_live.id
    AND a.attempt = task_live.attempt) END AS error_type, CASE WHEN state <> 'running'
    AND attempt > 0 THEN (SELECT a.error_message FROM task_attempt a WHERE a.task_id = task_live.id
    AND a.attempt = task_live.attempt) END AS error_message, CASE WHEN state <> 'running'
    AND attempt > 0 THEN (SELECT a.error_traceback FROM task_attempt a WHERE a.task_id = task_live.id
    AND a.attempt = task_live.attempt) END AS error_traceback, CASE WHEN state <> 'running'
    AND attempt > 0 THEN (SELECT a.error_group FROM task_attempt a WHERE a.task_id = task_live.id
    AND a.attempt = task_live.attempt) END AS error_group, id, state, task_type, queue, priority, attempt,
    max_attempts, interruptions, uncertain_sendings, dispatch, sla_seconds, timeout_seconds,
    requested_timeout_seconds, delay_seconds, submitted_at, due_at, scheduled_at, expires_at, started_at, caller,
    fairness_key, worker, args, kwargs, tags, traceparent, dependencies, held_reason, held_seconds, sla_met, progress,
    cancel_requested_at, cancel_requested_by, replayed_from, held_at, held_wait_seconds, CASE WHEN place = 'held'
    AND held_reason LIKE 'breaker:%' THEN (
    SELECT CASE b.seen WHEN 'open' THEN b.turns_at
    WHEN 'forced_open' THEN CASE WHEN b.machine -> 'override' ->> 'expires_at' IS NOT NULL THEN greatest(
        to_timestamp((b.machine -> 'override' ->> 'expires_at')::float8),
        CASE b.machine ->> 'state' WHEN 'open' THEN to_timestamp((b.machine ->> 'retry_at')::float8) END) END
END FROM breaker b
    WHERE b.scope = split_part(held_reason, ':', 2) AND b.name = substr(held_reason, length(split_part(held_reason,
        ':', 2)) + 10)
) END AS retry_at, CAST(NULL AS uuid) AS replayed_as, now() AS read_at FROM task_live WHERE id = CAST(:id AS uuid)
    UNION ALL
    SELECT finished_at, run_seconds, queue_wait_seconds, result, error_type, error_message, error_traceback,
        error_group, id, state, task_type, queue, priority, attempt, max_attempts, interruptions, uncertain_sendings,
        dispatch, sla_seconds, timeout_seconds, requested_timeout_seconds, delay_seconds, submitted_at, due_at,
        scheduled_at, expires_at, started_at, caller, fairness_key, worker, args, kwargs, tags, traceparent,
        dependencies, held_reason, held_seconds, sla_met, progress, cancel_requested_at, cancel_requested_by,
        replayed_from, CAST(NULL AS timestamptz) AS held_at, CAST(0 AS float8) AS held_wait_seconds,
        CAST(NULL AS timestamptz) AS retry_at, (SELECT r.replayed_as FROM replayed_task r WHERE r.task_id = task.id
        AND NOT r.undone) AS replayed_as, now() AS read_at FROM task WHERE id = CAST(:id AS uuid);

-- _KIND_BY_ID
SELECT task_type, queue FROM task_live WHERE id = CAST(:id AS uuid)
UNION ALL
SELECT task_type, queue FROM task WHERE id = CAST(:id AS uuid);

-- _KINDS
SELECT id, task_type, queue FROM task_live WHERE id = ANY(CAST(:ids AS uuid[]))
UNION ALL
SELECT id, task_type, queue FROM task WHERE id = ANY(CAST(:ids AS uuid[]));

-- _LISTED_BY_ID
SELECT finished_at, run_seconds, queue_wait_seconds, error_type, error_group, id, state, task_type, queue, priority,
    attempt, max_attempts, interruptions, uncertain_sendings, dispatch, sla_seconds, timeout_seconds,
    requested_timeout_seconds, delay_seconds, submitted_at, due_at, scheduled_at, expires_at, started_at, caller,
    fairness_key, worker, tags, traceparent, dependencies, held_reason, held_seconds, sla_met, cancel_requested_at,
    cancel_requested_by, replayed_from, held_at, held_wait_seconds, retry_at, replayed_as, read_at, CASE
    WHEN octet_length(args) > 4096 THEN NULL ELSE args END AS args, CASE WHEN octet_length(kwargs) > 4096 THEN NULL
    ELSE kwargs END AS kwargs, CASE WHEN octet_length(result) > 4096 THEN NULL ELSE result END AS result, CASE
    WHEN octet_length(progress) > 4096 THEN NULL ELSE progress END AS progress, left(error_message,
    1000) AS error_message, right(error_traceback, 2000) AS error_traceback, array_remove(ARRAY[CASE
    WHEN octet_length(args) > 4096 THEN 'args' END, CASE WHEN octet_length(kwargs) > 4096 THEN 'kwargs' END, CASE
    WHEN octet_length(result) > 4096 THEN 'result' END, CASE WHEN octet_length(progress) > 4096 THEN 'progress' END,
    CASE WHEN octet_length(error_message) > octet_length(left(error_message, 1000)) THEN 'error.message' END, CASE
    WHEN octet_length(error_traceback) > octet_length(right(error_traceback, 2000)) THEN 'error.traceback' END],
    NULL) AS cut FROM (
    SELECT CAST(NULL AS timestamptz) AS finished_at, CAST(NULL AS float8) AS run_seconds,
        CAST(NULL AS float8) AS queue_wait_seconds, CAST(NULL AS text) AS result, CASE WHEN state <> 'running'
        AND attempt > 0 THEN (SELECT a.error_type FROM task_attempt a WHERE a.task_id = task_live.id
        AND a.attempt = task_live.attempt) END AS error_type, CASE WHEN state <> 'running'
        AND attempt > 0 THEN (SELECT a.error_message FROM task_attempt a WHERE a.task_id = task_live.id
        AND a.attempt = task_live.attempt) END AS error_message, CASE WHEN state <> 'running'
        AND attempt > 0 THEN (SELECT a.error_traceback FROM task_attempt a WHERE a.task_id = task_live.id
        AND a.attempt = task_live.attempt) END AS error_traceback, CASE WHEN state <> 'running'
        AND attempt > 0 THEN (SELECT a.error_group FROM task_attempt a WHERE a.task_id = task_live.id
        AND a.attempt = task_live.attempt) END AS error_group, id, state, task_type, queue, priority, attempt,
        max_attempts, interruptions, uncertain_sendings, dispatch, sla_seconds, timeout_seconds,
        requested_timeout_seconds, delay_seconds, submitted_at, due_at, scheduled_at, expires_at, started_at, caller,
        fairness_key, worker, args, kwargs, tags, traceparent, dependencies, held_reason, held_seconds, sla_met,
        progress, cancel_requested_at, cancel_requested_by, replayed_from, held_at, held_wait_seconds, CASE
        WHEN place = 'held' AND held_reason LIKE 'breaker:%' THEN (
    SELECT CASE b.seen WHEN 'open' THEN b.turns_at
    WHEN 'forced_open' THEN CASE WHEN b.machine -> 'override' ->> 'expires_at' IS NOT NULL THEN greatest(
        to_timestamp((b.machine -> 'override' ->> 'expires_at')::float8),
        CASE b.machine ->> 'state' WHEN 'open' THEN to_timestamp((b.machine ->> 'retry_at')::float8) END) END
END FROM breaker b
    WHERE b.scope = split_part(held_reason, ':', 2) AND b.name = substr(held_reason, length(split_part(held_reason,
        ':', 2)) + 10)
) END AS retry_at, CAST(NULL AS uuid) AS replayed_as, now() AS read_at FROM task_live WHERE id = CAST(:id AS uuid)
    UNION ALL
    SELECT finished_at, run_seconds, queue_wait_seconds, result, error_type, error_message, error_traceback,
        error_group, id, state, task_type, queue, priority, attempt, max_attempts, interruptions, uncertain_sendings,
        dispatch, sla_seconds, timeout_seconds, requested_timeout_seconds, delay_seconds, submitted_at, due_at,
        scheduled_at, expires_at, started_at, caller, fairness_key, worker, args, kwargs, tags, traceparent,
        dependencies, held_reason, held_seconds, sla_met, progress, cancel_requested_at, cancel_requested_by,
        replayed_from, CAST(NULL AS timestamptz) AS held_at, CAST(0 AS float8) AS held_wait_seconds,
        CAST(NULL AS timestamptz) AS retry_at, (SELECT r.replayed_as FROM replayed_task r WHERE r.task_id = task.id
        AND NOT r.undone) AS replayed_as, now() AS read_at FROM task WHERE id = CAST(:id AS uuid)
) AS found;

-- _ATTEMPTS
SELECT attempt, worker, started_at, finished_at, run_seconds, error_type, error_message, error_traceback,
    error_group
FROM task_attempt WHERE task_id = CAST(:id AS uuid) AND attempt > CAST(:after AS int) ORDER BY attempt LIMIT :most;

-- rows_statement (all)
SELECT finished_at, run_seconds, queue_wait_seconds, error_type, error_group, id, state, task_type, queue, priority,
    attempt, max_attempts, interruptions, uncertain_sendings, dispatch, sla_seconds, timeout_seconds,
    requested_timeout_seconds, delay_seconds, submitted_at, due_at, scheduled_at, expires_at, started_at, caller,
    fairness_key, worker, tags, traceparent, dependencies, held_reason, held_seconds, sla_met, cancel_requested_at,
    cancel_requested_by, replayed_from, held_at, held_wait_seconds, retry_at, replayed_as, read_at, CASE
    WHEN octet_length(args) > 4096 THEN NULL ELSE args END AS args, CASE WHEN octet_length(kwargs) > 4096 THEN NULL
    ELSE kwargs END AS kwargs, CASE WHEN octet_length(result) > 4096 THEN NULL ELSE result END AS result, CASE
    WHEN octet_length(progress) > 4096 THEN NULL ELSE progress END AS progress, left(error_message,
    1000) AS error_message, right(error_traceback, 2000) AS error_traceback, array_remove(ARRAY[CASE
    WHEN octet_length(args) > 4096 THEN 'args' END, CASE WHEN octet_length(kwargs) > 4096 THEN 'kwargs' END, CASE
    WHEN octet_length(result) > 4096 THEN 'result' END, CASE WHEN octet_length(progress) > 4096 THEN 'progress' END,
    CASE WHEN octet_length(error_message) > octet_length(left(error_message, 1000)) THEN 'error.message' END, CASE
    WHEN octet_length(error_traceback) > octet_length(right(error_traceback, 2000)) THEN 'error.traceback' END],
    NULL) AS cut FROM (SELECT CAST(NULL AS timestamptz) AS finished_at, CAST(NULL AS float8) AS run_seconds,
    CAST(NULL AS float8) AS queue_wait_seconds, CAST(NULL AS text) AS result, CASE WHEN state <> 'running'
    AND attempt > 0 THEN (SELECT a.error_type FROM task_attempt a WHERE a.task_id = task_live.id
    AND a.attempt = task_live.attempt) END AS error_type, CASE WHEN state <> 'running'
    AND attempt > 0 THEN (SELECT a.error_message FROM task_attempt a WHERE a.task_id = task_live.id
    AND a.attempt = task_live.attempt) END AS error_message, CASE WHEN state <> 'running'
    AND attempt > 0 THEN (SELECT a.error_traceback FROM task_attempt a WHERE a.task_id = task_live.id
    AND a.attempt = task_live.attempt) END AS error_traceback, CASE WHEN state <> 'running'
    AND attempt > 0 THEN (SELECT a.error_group FROM task_attempt a WHERE a.task_id = task_live.id
    AND a.attempt = task_live.attempt) END AS error_group, id, state, task_type, queue, priority, attempt,
    max_attempts, interruptions, uncertain_sendings, dispatch, sla_seconds, timeout_seconds,
    requested_timeout_seconds, delay_seconds, submitted_at, due_at, scheduled_at, expires_at, started_at, caller,
    fairness_key, worker, args, kwargs, tags, traceparent, dependencies, held_reason, held_seconds, sla_met, progress,
    cancel_requested_at, cancel_requested_by, replayed_from, held_at, held_wait_seconds, CASE WHEN place = 'held'
    AND held_reason LIKE 'breaker:%' THEN (
    SELECT CASE b.seen WHEN 'open' THEN b.turns_at
    WHEN 'forced_open' THEN CASE WHEN b.machine -> 'override' ->> 'expires_at' IS NOT NULL THEN greatest(
        to_timestamp((b.machine -> 'override' ->> 'expires_at')::float8),
        CASE b.machine ->> 'state' WHEN 'open' THEN to_timestamp((b.machine ->> 'retry_at')::float8) END) END
END FROM breaker b
    WHERE b.scope = split_part(held_reason, ':', 2) AND b.name = substr(held_reason, length(split_part(held_reason,
        ':', 2)) + 10)
) END AS retry_at, CAST(NULL AS uuid) AS replayed_as, now() AS read_at FROM (SELECT * FROM task_live
    WHERE id = ANY(CAST(:ids AS uuid[]))
        AND id BETWEEN CAST(:first AS uuid) AND CAST(:last AS uuid) OFFSET 0) AS task_live WHERE true
        UNION ALL
        SELECT finished_at, run_seconds, queue_wait_seconds, result, error_type, error_message, error_traceback,
            error_group, id, state, task_type, queue, priority, attempt, max_attempts, interruptions,
            uncertain_sendings, dispatch, sla_seconds, timeout_seconds, requested_timeout_seconds, delay_seconds,
            submitted_at, due_at, scheduled_at, expires_at, started_at, caller, fairness_key, worker, args, kwargs,
            tags, traceparent, dependencies, held_reason, held_seconds, sla_met, progress, cancel_requested_at,
            cancel_requested_by, replayed_from, CAST(NULL AS timestamptz) AS held_at,
            CAST(0 AS float8) AS held_wait_seconds, CAST(NULL AS timestamptz) AS retry_at, (SELECT r.replayed_as
            FROM replayed_task r WHERE r.task_id = task.id AND NOT r.undone) AS replayed_as, now() AS read_at
            FROM (SELECT * FROM task WHERE id = ANY(CAST(:ids AS uuid[]))
        AND id BETWEEN CAST(:first AS uuid) AND CAST(:last AS uuid) OFFSET 0) AS task WHERE true) AS found;

-- rows_statement (by all that is asked)
SELECT finished_at, run_seconds, queue_wait_seconds, error_type, error_group, id, state, task_type, queue, priority,
    attempt, max_attempts, interruptions, uncertain_sendings, dispatch, sla_seconds, timeout_seconds,
    requested_timeout_seconds, delay_seconds, submitted_at, due_at, scheduled_at, expires_at, started_at, caller,
    fairness_key, worker, tags, traceparent, dependencies, held_reason, held_seconds, sla_met, cancel_requested_at,
    cancel_requested_by, replayed_from, held_at, held_wait_seconds, retry_at, replayed_as, read_at, CASE
    WHEN octet_length(args) > 4096 THEN NULL ELSE args END AS args, CASE WHEN octet_length(kwargs) > 4096 THEN NULL
    ELSE kwargs END AS kwargs, CASE WHEN octet_length(result) > 4096 THEN NULL ELSE result END AS result, CASE
    WHEN octet_length(progress) > 4096 THEN NULL ELSE progress END AS progress, left(error_message,
    1000) AS error_message, right(error_traceback, 2000) AS error_traceback, array_remove(ARRAY[CASE
    WHEN octet_length(args) > 4096 THEN 'args' END, CASE WHEN octet_length(kwargs) > 4096 THEN 'kwargs' END, CASE
    WHEN octet_length(result) > 4096 THEN 'result' END, CASE WHEN octet_length(progress) > 4096 THEN 'progress' END,
    CASE WHEN octet_length(error_message) > octet_length(left(error_message, 1000)) THEN 'error.message' END, CASE
    WHEN octet_length(error_traceback) > octet_length(right(error_traceback, 2000)) THEN 'error.traceback' END],
    NULL) AS cut FROM (SELECT finished_at, run_seconds, queue_wait_seconds, result, error_type, error_message,
    error_traceback, error_group, id, state, task_type, queue, priority, attempt, max_attempts, interruptions,
    uncertain_sendings, dispatch, sla_seconds, timeout_seconds, requested_timeout_seconds, delay_seconds,
    submitted_at, due_at, scheduled_at, expires_at, started_at, caller, fairness_key, worker, args, kwargs, tags,
    traceparent, dependencies, held_reason, held_seconds, sla_met, progress, cancel_requested_at, cancel_requested_by,
    replayed_from, CAST(NULL AS timestamptz) AS held_at, CAST(0 AS float8) AS held_wait_seconds,
    CAST(NULL AS timestamptz) AS retry_at, (SELECT r.replayed_as FROM replayed_task r WHERE r.task_id = task.id
    AND NOT r.undone) AS replayed_as, now() AS read_at FROM (SELECT * FROM task WHERE id = ANY(CAST(:ids AS uuid[]))
AND id BETWEEN CAST(:first AS uuid) AND CAST(:last AS uuid) OFFSET 0) AS task WHERE queue = :queue
    AND task_type = :task_type AND caller = :caller AND split_part(worker, '#', 1) = :worker AND attempt = :attempts
    AND attempt >= :attempts_at_least AND error_type = :error_type AND error_group = CAST(:error_group AS uuid)
    AND strpos(lower(error_message), lower(CAST(:error_message AS text))) > 0 AND NOT EXISTS (SELECT
    FROM replayed_task r WHERE r.task_id = id AND NOT r.undone OFFSET 0)
    AND (tags @> CAST(CAST(:tags_0_0 AS text) AS jsonb)) AND submitted_at >= :submitted_after
    AND id >= CAST(:lowest AS uuid) AND id < CAST(:highest AS uuid) AND submitted_at < :submitted_before
    AND finished_at >= :finished_after AND finished_at < :finished_before) AS found;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/recording.py
-- What the recorder writes: one transaction moves the rows, the counters and the position together, or nothing.

-- _PASS
UPDATE recorder_position SET last_id = :new, moved_at = now() WHERE stream = :stream AND last_id = :old
RETURNING EXISTS (SELECT FROM live_listening WHERE until > now()) AS listened;

-- _BEGIN
-- ``t.id = ANY(...)`` beside the join keeps the plan on the primary key whatever the planner believes of the table's
-- size: measured in docs/decisions/0001-store-layout.md.
UPDATE task_live t SET state = 'running', place = 'sent', held_reason = NULL, held_at = NULL, attempt = e.attempt,
    started_at = e.at, worker = e.worker, unclaimed = 0, cancel_requested_at = CASE
    WHEN t.cancel_grace_seconds IS NOT NULL THEN t.cancel_requested_at END, cancel_requested_by = CASE
    WHEN t.cancel_grace_seconds IS NOT NULL THEN t.cancel_requested_by END FROM unnest(CAST(:id AS uuid[]),
    CAST(:attempt AS smallint[]), CAST(:at AS timestamptz[]), CAST(:worker AS text[])) AS e (id, attempt, at, worker)
WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]))
    AND t.attempt < e.attempt AND t.state NOT IN ('scheduled')
RETURNING t.id, t.task_type, t.queue, true AS first_seen, t.attempt,
    CASE WHEN e.at IS NOT NULL THEN greatest(0, extract(epoch
        FROM e.at - t.due_at) - t.held_wait_seconds)::float8 END AS queue_wait_seconds,
    CASE WHEN e.at IS NOT NULL THEN greatest(0, extract(epoch
        FROM e.at - t.due_at) - t.held_wait_seconds)::float8 END <= t.sla_seconds AS sla_met, t.state, t.caller;

-- _RETRY
WITH retried AS (UPDATE task_live t SET state = 'retrying', place = 'asleep', due_at = e.retry_at, progress = NULL,
    interrupted_in_a_row = 0, held_wait_seconds = 0, sla_met = coalesce(t.sla_met, CASE WHEN t.attempt = 1
    THEN extract(epoch FROM t.started_at - t.due_at) - t.held_wait_seconds <= t.sla_seconds END)
FROM unnest(CAST(:id AS uuid[]), CAST(:attempt AS smallint[]), CAST(:retry_at AS timestamptz[]),
    CAST(:max_attempts AS integer[])) AS e (id, attempt, retry_at, max_attempts)
WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]))
    AND t.state = 'running' AND t.attempt = e.attempt AND e.retry_at IS NOT NULL
        AND e.attempt - t.interruptions < coalesce(e.max_attempts, t.max_attempts) AND t.cancel_requested_at IS NULL
RETURNING t.id, t.task_type, t.queue, false AS first_seen, t.attempt,
    CAST(NULL AS float8) AS queue_wait_seconds, CAST(NULL AS boolean) AS sla_met, t.state, t.caller
), waits AS (
    INSERT INTO backlog_delta (queue, state, tasks)
    SELECT queue, state, count(*) FROM retried GROUP BY queue, state
)
SELECT * FROM retried;

-- _PROGRESS
-- Of an attempt that has ended meanwhile nobody wants to know how far it was.
UPDATE task_live t SET progress = e.progress FROM unnest(CAST(:id AS uuid[]), CAST(:attempt AS smallint[]),
    CAST(:progress AS text[])) AS e (id, attempt, progress)
WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[])) AND t.state = 'running' AND t.attempt = e.attempt;

-- _ATTEMPTS
-- One that was kept already was reported again.
INSERT INTO task_attempt (task_id, attempt, worker, started_at, finished_at, run_seconds, error_type, error_message,
    error_traceback, error_group) SELECT * FROM unnest(CAST(:task_id AS uuid[]), CAST(:attempt AS smallint[]),
    CAST(:worker AS text[]), CAST(:started_at AS timestamptz[]), CAST(:finished_at AS timestamptz[]),
    CAST(:run_seconds AS float8[]), CAST(:error_type AS text[]), CAST(:error_message AS text[]),
    CAST(:error_traceback AS text[]), CAST(:error_group AS uuid[])) AS rows (task_id, attempt, worker, started_at,
    finished_at, run_seconds, error_type, error_message, error_traceback, error_group) ON CONFLICT DO NOTHING;

-- _ASK
-- Only the sending that was dropped: a later one may have been claimed.
UPDATE task_live t SET place = 'waiting' FROM unnest(CAST(:id AS uuid[]), CAST(:dispatch AS integer[])) AS e (id,
    dispatch)
WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]))
    AND t.place = 'sent' AND t.state = 'queued' AND t.dispatch = e.dispatch;

-- _HOLD
UPDATE task_live t SET state = 'held', place = 'held', held_at = now(), alone = false, held_reason = e.reason
    FROM unnest(CAST(:id AS uuid[]), CAST(:dispatch AS integer[]), CAST(:reason AS text[])) AS e (id, dispatch,
    reason)
WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[]))
    AND t.place = 'sent' AND t.state = 'queued' AND t.dispatch = e.dispatch;

-- _BLOCK
UPDATE task_live t SET state = 'held', place = 'held', held_at = now(), alone = false,
    held_reason = 'breaker:' || e.breaker, progress = NULL,
    interruptions = t.interruptions + 1,
    dependencies = CASE WHEN e.breaker LIKE 'dependency:%' AND cardinality(coalesce(t.dependencies, '{}')) < 100
        THEN array_append(array_remove(t.dependencies, substr(e.breaker, 12)), substr(e.breaker, 12))
        ELSE t.dependencies END,
    sla_met = coalesce(t.sla_met, CASE WHEN t.attempt = 1
    THEN extract(epoch FROM t.started_at - t.due_at) - t.held_wait_seconds <= t.sla_seconds END)
FROM unnest(CAST(:id AS uuid[]), CAST(:attempt AS smallint[]), CAST(:breaker AS text[])) AS e (id, attempt, breaker)
WHERE t.id = e.id AND t.id = ANY(CAST(:id AS uuid[])) AND t.state = 'running' AND t.attempt = e.attempt
RETURNING t.id, t.task_type, t.queue, false AS first_seen, t.attempt,
    CAST(NULL AS float8) AS queue_wait_seconds, CAST(NULL AS boolean) AS sla_met, t.state, t.caller;

-- _NATIVE
INSERT INTO native_run (task_id, task_type, queue, worker, state, run_seconds, finished_at, error_type, error_message,
    error_traceback) SELECT * FROM unnest(CAST(:task_id AS text[]), CAST(:task_type AS text[]),
    CAST(:queue AS text[]), CAST(:worker AS text[]), CAST(:state AS text[]), CAST(:run_seconds AS float8[]),
    CAST(:finished_at AS timestamptz[]), CAST(:error_type AS text[]), CAST(:error_message AS text[]),
    CAST(:error_traceback AS text[])) AS rows (task_id, task_type, queue, worker, state, run_seconds, finished_at,
    error_type, error_message, error_traceback);

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/replaying.py
-- Ended tasks run again, each as a new task, and each at most once: ``replayed_task`` is the fence.

-- _REPLAY
-- ``replayed_task`` decides: of two who ask for the same task at once, one inserts it, and the other passes over it. The
-- due times of a rate are given out by the order of submission, and go on where the part before ended.
WITH asked AS (SELECT * FROM unnest(CAST(:old AS uuid[]), CAST(:new AS uuid[])) AS rows (old, new)), claimed AS (
    INSERT INTO replayed_task (task_id, replayed_as, replay_id)
    SELECT asked.old, asked.new, CAST(:replay AS uuid) FROM asked JOIN task t ON t.id = asked.old
    WHERE t.state = ANY(CAST(:states AS text[])) AND t.queue = ANY(CAST(:queues AS text[]))
        AND (NOT CAST(:as_it_was AS boolean) OR t.attempt = 0)
    ORDER BY asked.old
    ON CONFLICT DO NOTHING
    RETURNING task_id, replayed_as
), unburied AS (
    DELETE FROM dead_letter d USING claimed c WHERE d.task_id = c.task_id
    RETURNING d.task_id, d.task_type, d.error_type, d.queue, d.failed_at
), lessened AS (
    INSERT INTO dead_letter_delta (task_type, error_type, queue, hour, tasks) SELECT task_type, error_type, queue,
        date_trunc('hour', failed_at, 'UTC'), -count(*) FROM unburied GROUP BY task_type, error_type, queue,
        date_trunc('hour', failed_at, 'UTC')
), placed AS (
    SELECT c.task_id, c.replayed_as, CASE WHEN CAST(:as_it_was AS boolean) THEN t.due_at
        ELSE coalesce(CAST(:since AS timestamptz), now()) + coalesce((CAST(:first AS bigint) - 1
            + row_number() OVER (ORDER BY c.replayed_as)) / CAST(:rate AS float8), 0) * interval '1 second'
        END AS due_at
    FROM claimed c JOIN task t ON t.id = c.task_id
), again AS (
    SELECT CAST(false AS boolean) AS alone, CAST(NULL AS integer) AS sent_epoch, CAST(p.replayed_as AS uuid) AS id,
        t.task_type, coalesce(CAST(:queue AS text), t.queue) AS queue, coalesce(CAST(:priority AS smallint),
        t.priority) AS priority, t.max_attempts, coalesce(CAST(:sla_seconds AS real), t.sla_seconds) AS sla_seconds,
        t.timeout_seconds, t.requested_timeout_seconds, CAST(NULL AS float8) AS delay_seconds, CAST(CASE
        WHEN p.due_at > now() THEN p.due_at END AS timestamptz) AS scheduled_at, CAST(CASE
        WHEN CAST(:as_it_was AS boolean) THEN t.expires_at END AS timestamptz) AS expires_at,
        CAST(coalesce(CAST(:caller AS text), t.caller) AS text) AS caller, t.fairness_key,
        coalesce(CAST(:args AS text), t.args) AS args, coalesce(CAST(:kwargs AS text), t.kwargs) AS kwargs, t.tags,
        CAST(:traceparent AS text) AS traceparent, CASE WHEN CAST(:args AS text) IS NULL
        AND CAST(:kwargs AS text) IS NULL THEN t.dependencies
        ELSE string_to_array(CAST(:dependencies AS text), E'\n') END AS dependencies, t.id AS replayed_from
            FROM placed p JOIN task t ON t.id = p.task_id
)
, stored AS (
    INSERT INTO task_live (alone, sent_epoch, id, task_type, queue, priority, max_attempts, sla_seconds,
        timeout_seconds, requested_timeout_seconds, delay_seconds, scheduled_at, expires_at, caller, fairness_key,
        args, kwargs, tags, traceparent, dependencies, replayed_from, submitted_at, due_at, dispatch, state, place)
    SELECT alone, sent_epoch, id, task_type, queue, priority, max_attempts, sla_seconds, timeout_seconds,
        requested_timeout_seconds, delay_seconds, scheduled_at, expires_at, caller, fairness_key, args, kwargs, tags,
        traceparent, dependencies, replayed_from, now(), due_at, CASE WHEN sent_epoch IS NULL THEN 0 ELSE 1 END,
        CASE WHEN due_at > now() THEN 'scheduled' ELSE 'queued' END,
        CASE WHEN due_at > now() THEN 'asleep' WHEN sent_epoch IS NULL THEN 'waiting' ELSE 'sent' END
    FROM (
        SELECT *, greatest(now(), coalesce(scheduled_at, now() + delay_seconds * interval '1 second')) AS due_at
        FROM again
    ) AS due
)
, boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(id) FROM again WHERE sent_epoch IS NOT NULL GROUP BY queue
    RETURNING id
)
, counted AS (
    INSERT INTO task_metrics_delta (task_type, queue, minute, caller, submitted, born_waiting, born_asleep)
    SELECT task_type, queue, date_trunc('minute', now()), caller, count(*),
        count(*) FILTER (WHERE sent_epoch IS NULL AND (coalesce(scheduled_at,
            now() + delay_seconds * interval '1 second') > now()) IS NOT TRUE),
        count(*) FILTER (WHERE coalesce(scheduled_at, now() + delay_seconds * interval '1 second') > now())
    FROM again GROUP BY task_type, queue, caller
)
, told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM again WHERE EXISTS (SELECT FROM live_listening
    WHERE until > now()) HAVING count(*) > 0)
SELECT count(*) AS tasks, max(greatest(due_at, now())) AS last_due_at FROM placed;

-- _TIES
SELECT task_id, replayed_as, replay_id, replayed_at, undone FROM replayed_task
WHERE task_id = ANY(CAST(:ids AS uuid[]));

-- _REPLAYED_AS
SELECT replayed_as, undone FROM replayed_task WHERE task_id = CAST(:id AS uuid);

-- _KEEP
INSERT INTO replay (id, caller, wanted, rate_per_second, matched, tasks, last_due_at)
VALUES (:id, :caller, CAST(:wanted AS jsonb), :rate, :matched, :tasks, :last_due_at);

-- _FIND
SELECT id, requested_at, wanted, rate_per_second, matched, tasks, last_due_at FROM replay WHERE kind = 'replay'
    AND id = CAST(:id AS uuid);

-- _NEWEST
SELECT id, requested_at, wanted, rate_per_second, matched, tasks, last_due_at FROM replay WHERE kind = 'replay'
    AND (CAST(:below AS uuid) IS NULL OR id < CAST(:below AS uuid)) ORDER BY id DESC LIMIT :most;

-- _STATES
-- One by one, as in ``acts``.
SELECT every.state, count(*) AS tasks FROM replayed_task r CROSS JOIN LATERAL (
    (SELECT t.state FROM task_live t WHERE t.id = r.replayed_as AND NOT r.undone OFFSET 0)
    UNION ALL
    (SELECT t.state FROM task t WHERE t.id = CASE WHEN r.undone THEN r.task_id ELSE r.replayed_as END OFFSET 0)
) AS every WHERE r.replay_id = CAST(:id AS uuid) GROUP BY every.state;

-- _NEW_TASKS
SELECT replayed_as FROM replayed_task
WHERE replay_id = CAST(:id AS uuid) AND NOT undone AND replayed_as > CAST(:above AS uuid)
ORDER BY replayed_as LIMIT :most;

-- _WITHDRAW
-- One that has started goes on: a replay that is undone takes back what nobody has begun.
WITH withdrawn AS (
    SELECT t.id FROM task_live t JOIN replayed_task r ON r.replayed_as = t.id
    WHERE r.replay_id = CAST(CAST(:id AS text) AS uuid) AND r.replayed_as = ANY(CAST(:ids AS uuid[]))
        AND NOT r.undone AND t.attempt = 0 AND t.state <> 'running' AND t.cancel_requested_at IS NULL
    ORDER BY t.id FOR UPDATE OF t
)
UPDATE task_live t SET cancel_requested_at = now(), cancel_grace_seconds = NULL,
    cancel_requested_by = 'the undo of ' || CAST(:id AS text) FROM withdrawn w WHERE t.id = w.id;

-- _REINSTATE
-- Of the two only one may run again: whoever was retried first keeps that.
WITH undone AS (
    INSERT INTO replayed_task (task_id, replayed_as, replay_id, undone)
    SELECT r.replayed_as, r.task_id, r.replay_id, true FROM replayed_task r JOIN task t ON t.id = r.replayed_as
    WHERE r.replay_id = CAST(:id AS uuid) AND r.replayed_as = ANY(CAST(:ids AS uuid[])) AND NOT r.undone
        AND t.state = 'cancelled' AND t.attempt = 0
    ORDER BY r.replayed_as
    ON CONFLICT DO NOTHING
    RETURNING task_id, replayed_as
), buried AS (
    INSERT INTO dead_letter (task_id, task_type, error_type, queue, failed_at) SELECT t.id, t.task_type,
        coalesce(t.error_type, ''), t.queue, t.finished_at FROM undone u JOIN task t ON t.id = u.replayed_as
    WHERE t.state = 'failed' ORDER BY t.id ON CONFLICT DO NOTHING RETURNING task_id, task_type, error_type, queue,
        failed_at
), counted AS (
    INSERT INTO dead_letter_delta (task_type, error_type, queue, hour, tasks) SELECT task_type, error_type, queue,
        date_trunc('hour', failed_at, 'UTC'), count(*) FROM buried GROUP BY task_type, error_type, queue,
        date_trunc('hour', failed_at, 'UTC')
)
DELETE FROM replayed_task r USING undone u WHERE r.task_id = u.replayed_as AND r.replayed_as = u.task_id;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/run_logs.py
-- Lines that managed runs wrote, beside their attempts.

-- _TURN
-- Whoever follows by rising id misses nothing: what has the higher one is committed later.
SELECT pg_try_advisory_xact_lock(hashtext('pointsman run logs'));

-- _ADD
-- Whatever comes twice is there once. OFFSET keeps the planner from reading all tasks for a few.
INSERT INTO run_log (task_id, attempt, run, first_line, line_count, is_last, lines) SELECT e.task_id, e.attempt,
    e.run, e.first_line, e.line_count, e.is_last, e.lines FROM unnest(CAST(:task_id AS uuid[]),
    CAST(:attempt AS smallint[]), CAST(:run AS text[]), CAST(:first_line AS integer[]),
    CAST(:line_count AS integer[]), CAST(:is_last AS boolean[]), CAST(:lines AS text[])) AS e (task_id, attempt, run,
    first_line, line_count, is_last, lines)
WHERE EXISTS (SELECT FROM task_live t WHERE t.id = e.task_id OFFSET 0)
    OR EXISTS (SELECT FROM task t WHERE t.id = e.task_id OFFSET 0)
ON CONFLICT DO NOTHING;

-- _BOUND
-- The newest lines of an attempt stay.
DELETE FROM run_log WHERE id IN (
SELECT id FROM (
    SELECT l.id, sum(octet_length(l.lines)) OVER (
        PARTITION BY l.task_id, l.attempt ORDER BY l.first_line DESC, l.id DESC) AS bytes
    FROM unnest(CAST(:task_id AS uuid[]), CAST(:attempt AS smallint[])) AS e (task_id, attempt)
    JOIN run_log l ON l.task_id = e.task_id AND l.attempt = e.attempt
    WHERE l.task_id = ANY(CAST(:task_id AS uuid[]))
) AS counted WHERE bytes > 65536);

-- _PAGE
-- A task has few of them, and the planner may hope to find those sooner among all there are. OFFSET keeps it from that.
SELECT id, task_id, attempt, first_line, line_count, lines FROM (
    SELECT * FROM run_log WHERE task_id = CAST(:task AS uuid) OFFSET 0
) AS of_task
WHERE id >= :since AND line_count > 0 AND (CAST(:attempt AS int) IS NULL OR attempt = CAST(:attempt AS int))
ORDER BY id LIMIT :most;

-- _WRITTEN
SELECT attempt, sum(written)::bigint AS written, sum(kept)::bigint AS kept, bool_and(is_complete) AS is_complete
FROM (
    SELECT attempt, max(first_line + line_count - 1) AS written, sum(line_count) AS kept,
        bool_or(is_last) AS is_complete
    FROM run_log WHERE task_id = CAST(:task AS uuid) AND attempt = ANY(CAST(:attempts AS smallint[]))
    GROUP BY attempt, run
) AS runs
GROUP BY attempt ORDER BY attempt;

-- _NEWEST
SELECT coalesce(max(id), 0) FROM run_log;

-- _NEW
-- Likewise.
SELECT id, task_id, attempt, first_line, line_count, lines FROM (
    SELECT * FROM run_log WHERE task_id = ANY(CAST(:tasks AS uuid[])) OFFSET 0
) AS of_tasks
WHERE id > :after AND line_count > 0 ORDER BY id LIMIT :most;

-- _ENDED
SELECT w.id, EXISTS (
    SELECT FROM run_log l WHERE l.task_id = w.id AND l.is_last
        AND l.attempt = (SELECT t.attempt FROM task t WHERE t.id = w.id)
) AS is_complete
FROM unnest(CAST(:tasks AS uuid[])) AS w (id)
WHERE NOT EXISTS (SELECT FROM task_live t WHERE t.id = w.id);

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/searching.py
-- What every search for a page has: how its looks are planned, how long they may take, and when it ends.

-- _PLAN
-- Rows are read in the order of an index, or by a bitmap where its index has no order: never all of a table, and never
-- sorted before it is known how many they are. What runs beside this has no workers to spare.
SELECT set_config('enable_seqscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true),
set_config('statement_timeout', CAST(:milliseconds AS text), true),
set_config('enable_indexscan', CAST(:in_order AS text), true),
set_config('enable_bitmapscan', CAST(:by_bitmap AS text), true);

-- _NO_HURRY
SET LOCAL statement_timeout TO DEFAULT;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/setting_right.py
-- Are the dead letters those of the tasks that failed and were not run again? Looked at part by part, and put right.

-- _TAKE
SELECT walked_to, rounds, rounds < :at_first OR ended_at < now() - CAST(:seconds AS float8) * interval '1 second'
    AS is_due
FROM dead_letter_walk FOR UPDATE SKIP LOCKED;

-- _ADD
WITH looked AS MATERIALIZED (
    SELECT id, task_type, error_type, queue, finished_at FROM task
    WHERE state = 'failed' AND id > CAST(:above AS uuid) ORDER BY id LIMIT :most
), added AS (
    INSERT INTO dead_letter (task_id, task_type, error_type, queue, failed_at) SELECT l.id, l.task_type,
        coalesce(l.error_type, ''), l.queue, l.finished_at FROM looked l
    WHERE NOT EXISTS (SELECT FROM replayed_task r WHERE r.task_id = l.id) ORDER BY l.id
    ON CONFLICT DO NOTHING RETURNING task_id, task_type, error_type, queue, failed_at
), counted AS (INSERT INTO dead_letter_delta (task_type, error_type, queue, hour, tasks) SELECT task_type, error_type,
    queue, date_trunc('hour', failed_at, 'UTC'), count(*) FROM added GROUP BY task_type, error_type, queue,
    date_trunc('hour', failed_at, 'UTC'))
SELECT (SELECT count(*) FROM looked) AS looked, (SELECT count(*) FROM added) AS added,
    (SELECT id FROM looked ORDER BY id DESC LIMIT 1) AS last;

-- _TAKE_AWAY
-- One by one: joined, all tasks that there are would be read. OFFSET keeps the planner from it.
WITH wrong AS (
    SELECT d.task_id FROM dead_letter d WHERE d.task_id > CAST(:above AS uuid) AND d.task_id <= CAST(:last AS uuid)
        AND (EXISTS (SELECT FROM replayed_task r WHERE r.task_id = d.task_id)
            OR NOT EXISTS (SELECT FROM task t WHERE t.id = d.task_id AND t.state = 'failed' OFFSET 0))
    FOR UPDATE OF d SKIP LOCKED
), gone AS (
    DELETE FROM dead_letter d USING wrong w WHERE d.task_id = w.task_id
    RETURNING d.task_id, d.task_type, d.error_type, d.queue, d.failed_at
), counted AS (INSERT INTO dead_letter_delta (task_type, error_type, queue, hour, tasks) SELECT task_type, error_type,
    queue, date_trunc('hour', failed_at, 'UTC'), -count(*) FROM gone GROUP BY task_type, error_type, queue,
    date_trunc('hour', failed_at, 'UTC'))
SELECT count(*) FROM gone;

-- _WALKED
UPDATE dead_letter_walk SET walked_to = :last, rounds = rounds + CAST(:over AS int),
ended_at = CASE WHEN CAST(:over AS int) = 1 THEN now() ELSE ended_at END;

-- _ROUNDS
SELECT rounds FROM dead_letter_walk;

----------------------------------------------------------------------------------------------------------------------
-- store/tasks/submitting.py
-- Store accepted submissions: one statement and one commit for many.

-- _PLAIN
-- One statement and one commit for many, whatever each costs: a column is an array. What is on the broker by now goes in
-- the same commit, for the deletion alone would cost as much as the submissions.
WITH input AS (SELECT alone, sent_epoch, id, task_type, queue, priority, max_attempts, sla_seconds, timeout_seconds,
    requested_timeout_seconds, delay_seconds, scheduled_at, expires_at, caller, fairness_key, args, kwargs,
    CAST(tags AS jsonb) AS tags, traceparent, string_to_array(dependencies, E'\n') AS dependencies FROM (SELECT CASE
    WHEN cardinality(CAST(:alone AS boolean[])) = 1 THEN (CAST(:alone AS boolean[]))[1] ELSE given.alone END AS alone,
    CASE WHEN cardinality(CAST(:sent_epoch AS integer[])) = 1 THEN (CAST(:sent_epoch AS integer[]))[1]
    ELSE given.sent_epoch END AS sent_epoch, id, CASE
    WHEN cardinality(CAST(:task_type AS text[])) = 1 THEN (CAST(:task_type AS text[]))[1]
    ELSE given.task_type END AS task_type, CASE
    WHEN cardinality(CAST(:queue AS text[])) = 1 THEN (CAST(:queue AS text[]))[1] ELSE given.queue END AS queue, CASE
    WHEN cardinality(CAST(:priority AS smallint[])) = 1 THEN (CAST(:priority AS smallint[]))[1]
    ELSE given.priority END AS priority, CASE
    WHEN cardinality(CAST(:max_attempts AS smallint[])) = 1 THEN (CAST(:max_attempts AS smallint[]))[1]
    ELSE given.max_attempts END AS max_attempts, CASE
    WHEN cardinality(CAST(:sla_seconds AS real[])) = 1 THEN (CAST(:sla_seconds AS real[]))[1]
    ELSE given.sla_seconds END AS sla_seconds, CASE
    WHEN cardinality(CAST(:timeout_seconds AS real[])) = 1 THEN (CAST(:timeout_seconds AS real[]))[1]
    ELSE given.timeout_seconds END AS timeout_seconds, CASE
    WHEN cardinality(CAST(:requested_timeout_seconds AS real[])) = 1 THEN (CAST(:requested_timeout_seconds AS real[]))[1]
    ELSE given.requested_timeout_seconds END AS requested_timeout_seconds, CASE
    WHEN cardinality(CAST(:delay_seconds AS float8[])) = 1 THEN (CAST(:delay_seconds AS float8[]))[1]
    ELSE given.delay_seconds END AS delay_seconds, CASE
    WHEN cardinality(CAST(:scheduled_at AS timestamptz[])) = 1 THEN (CAST(:scheduled_at AS timestamptz[]))[1]
    ELSE given.scheduled_at END AS scheduled_at, CASE
    WHEN cardinality(CAST(:expires_at AS timestamptz[])) = 1 THEN (CAST(:expires_at AS timestamptz[]))[1]
    ELSE given.expires_at END AS expires_at, CASE
    WHEN cardinality(CAST(:caller AS text[])) = 1 THEN (CAST(:caller AS text[]))[1] ELSE given.caller END AS caller,
    CASE WHEN cardinality(CAST(:fairness_key AS text[])) = 1 THEN (CAST(:fairness_key AS text[]))[1]
    ELSE given.fairness_key END AS fairness_key, CASE
    WHEN cardinality(CAST(:args AS text[])) = 1 THEN (CAST(:args AS text[]))[1] ELSE given.args END AS args, CASE
    WHEN cardinality(CAST(:kwargs AS text[])) = 1 THEN (CAST(:kwargs AS text[]))[1] ELSE given.kwargs END AS kwargs,
    CASE WHEN cardinality(CAST(:tags AS text[])) = 1 THEN (CAST(:tags AS text[]))[1] ELSE given.tags END AS tags, CASE
    WHEN cardinality(CAST(:traceparent AS text[])) = 1 THEN (CAST(:traceparent AS text[]))[1]
    ELSE given.traceparent END AS traceparent, CASE
    WHEN cardinality(CAST(:dependencies AS text[])) = 1 THEN (CAST(:dependencies AS text[]))[1]
    ELSE given.dependencies END AS dependencies FROM unnest(CAST(:alone AS boolean[]), CAST(:sent_epoch AS integer[]),
    CAST(:id AS uuid[]), CAST(:task_type AS text[]), CAST(:queue AS text[]), CAST(:priority AS smallint[]),
    CAST(:max_attempts AS smallint[]), CAST(:sla_seconds AS real[]), CAST(:timeout_seconds AS real[]),
    CAST(:requested_timeout_seconds AS real[]), CAST(:delay_seconds AS float8[]),
    CAST(:scheduled_at AS timestamptz[]), CAST(:expires_at AS timestamptz[]), CAST(:caller AS text[]),
    CAST(:fairness_key AS text[]), CAST(:args AS text[]), CAST(:kwargs AS text[]), CAST(:tags AS text[]),
    CAST(:traceparent AS text[]), CAST(:dependencies AS text[])) AS given (alone, sent_epoch, id, task_type, queue,
    priority, max_attempts, sla_seconds, timeout_seconds, requested_timeout_seconds, delay_seconds, scheduled_at,
    expires_at, caller, fairness_key, args, kwargs, tags, traceparent, dependencies)) AS rows)
, stored AS (
    INSERT INTO task_live (alone, sent_epoch, id, task_type, queue, priority, max_attempts, sla_seconds,
        timeout_seconds, requested_timeout_seconds, delay_seconds, scheduled_at, expires_at, caller, fairness_key,
        args, kwargs, tags, traceparent, dependencies, submitted_at, due_at, dispatch, state, place)
    SELECT alone, sent_epoch, id, task_type, queue, priority, max_attempts, sla_seconds, timeout_seconds,
        requested_timeout_seconds, delay_seconds, scheduled_at, expires_at, caller, fairness_key, args, kwargs, tags,
        traceparent, dependencies, now(), due_at, CASE WHEN sent_epoch IS NULL THEN 0 ELSE 1 END,
        CASE WHEN due_at > now() THEN 'scheduled' ELSE 'queued' END,
        CASE WHEN due_at > now() THEN 'asleep' WHEN sent_epoch IS NULL THEN 'waiting' ELSE 'sent' END
    FROM (
        SELECT *, greatest(now(), coalesce(scheduled_at, now() + delay_seconds * interval '1 second')) AS due_at
        FROM input
    ) AS due
)
, boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(id) FROM input WHERE sent_epoch IS NOT NULL GROUP BY queue
    RETURNING id
)
, counted AS (
    INSERT INTO task_metrics_delta (task_type, queue, minute, caller, submitted, born_waiting, born_asleep)
    SELECT task_type, queue, date_trunc('minute', now()), caller, count(*),
        count(*) FILTER (WHERE sent_epoch IS NULL AND (coalesce(scheduled_at,
            now() + delay_seconds * interval '1 second') > now()) IS NOT TRUE),
        count(*) FILTER (WHERE coalesce(scheduled_at, now() + delay_seconds * interval '1 second') > now())
    FROM input GROUP BY task_type, queue, caller
)
, told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM input WHERE EXISTS (SELECT FROM live_listening
    WHERE until > now()) HAVING count(*) > 0)
, published AS (DELETE FROM outbox WHERE id = ANY(CAST(:published AS bigint[])))
SELECT now() AS submitted_at, (SELECT array_agg(id) FROM boxed) AS outbox_ids;

-- _KEYED
-- By order of their keys, so that of two commits with the same ones none waits for the other while it waits for it.
WITH input AS (SELECT alone, sent_epoch, id, task_type, queue, priority, max_attempts, sla_seconds, timeout_seconds,
    requested_timeout_seconds, delay_seconds, scheduled_at, expires_at, caller, fairness_key, args, kwargs,
    CAST(tags AS jsonb) AS tags, traceparent, string_to_array(dependencies, E'\n') AS dependencies, key, fingerprint
    FROM (SELECT CASE WHEN cardinality(CAST(:alone AS boolean[])) = 1 THEN (CAST(:alone AS boolean[]))[1]
    ELSE given.alone END AS alone, CASE
    WHEN cardinality(CAST(:sent_epoch AS integer[])) = 1 THEN (CAST(:sent_epoch AS integer[]))[1]
    ELSE given.sent_epoch END AS sent_epoch, id, CASE
    WHEN cardinality(CAST(:task_type AS text[])) = 1 THEN (CAST(:task_type AS text[]))[1]
    ELSE given.task_type END AS task_type, CASE
    WHEN cardinality(CAST(:queue AS text[])) = 1 THEN (CAST(:queue AS text[]))[1] ELSE given.queue END AS queue, CASE
    WHEN cardinality(CAST(:priority AS smallint[])) = 1 THEN (CAST(:priority AS smallint[]))[1]
    ELSE given.priority END AS priority, CASE
    WHEN cardinality(CAST(:max_attempts AS smallint[])) = 1 THEN (CAST(:max_attempts AS smallint[]))[1]
    ELSE given.max_attempts END AS max_attempts, CASE
    WHEN cardinality(CAST(:sla_seconds AS real[])) = 1 THEN (CAST(:sla_seconds AS real[]))[1]
    ELSE given.sla_seconds END AS sla_seconds, CASE
    WHEN cardinality(CAST(:timeout_seconds AS real[])) = 1 THEN (CAST(:timeout_seconds AS real[]))[1]
    ELSE given.timeout_seconds END AS timeout_seconds, CASE
    WHEN cardinality(CAST(:requested_timeout_seconds AS real[])) = 1 THEN (CAST(:requested_timeout_seconds AS real[]))[1]
    ELSE given.requested_timeout_seconds END AS requested_timeout_seconds, CASE
    WHEN cardinality(CAST(:delay_seconds AS float8[])) = 1 THEN (CAST(:delay_seconds AS float8[]))[1]
    ELSE given.delay_seconds END AS delay_seconds, CASE
    WHEN cardinality(CAST(:scheduled_at AS timestamptz[])) = 1 THEN (CAST(:scheduled_at AS timestamptz[]))[1]
    ELSE given.scheduled_at END AS scheduled_at, CASE
    WHEN cardinality(CAST(:expires_at AS timestamptz[])) = 1 THEN (CAST(:expires_at AS timestamptz[]))[1]
    ELSE given.expires_at END AS expires_at, CASE
    WHEN cardinality(CAST(:caller AS text[])) = 1 THEN (CAST(:caller AS text[]))[1] ELSE given.caller END AS caller,
    CASE WHEN cardinality(CAST(:fairness_key AS text[])) = 1 THEN (CAST(:fairness_key AS text[]))[1]
    ELSE given.fairness_key END AS fairness_key, CASE
    WHEN cardinality(CAST(:args AS text[])) = 1 THEN (CAST(:args AS text[]))[1] ELSE given.args END AS args, CASE
    WHEN cardinality(CAST(:kwargs AS text[])) = 1 THEN (CAST(:kwargs AS text[]))[1] ELSE given.kwargs END AS kwargs,
    CASE WHEN cardinality(CAST(:tags AS text[])) = 1 THEN (CAST(:tags AS text[]))[1] ELSE given.tags END AS tags, CASE
    WHEN cardinality(CAST(:traceparent AS text[])) = 1 THEN (CAST(:traceparent AS text[]))[1]
    ELSE given.traceparent END AS traceparent, CASE
    WHEN cardinality(CAST(:dependencies AS text[])) = 1 THEN (CAST(:dependencies AS text[]))[1]
    ELSE given.dependencies END AS dependencies, CASE
    WHEN cardinality(CAST(:key AS text[])) = 1 THEN (CAST(:key AS text[]))[1] ELSE given.key END AS key, CASE
    WHEN cardinality(CAST(:fingerprint AS text[])) = 1 THEN (CAST(:fingerprint AS text[]))[1]
    ELSE given.fingerprint END AS fingerprint FROM unnest(CAST(:alone AS boolean[]), CAST(:sent_epoch AS integer[]),
    CAST(:id AS uuid[]), CAST(:task_type AS text[]), CAST(:queue AS text[]), CAST(:priority AS smallint[]),
    CAST(:max_attempts AS smallint[]), CAST(:sla_seconds AS real[]), CAST(:timeout_seconds AS real[]),
    CAST(:requested_timeout_seconds AS real[]), CAST(:delay_seconds AS float8[]),
    CAST(:scheduled_at AS timestamptz[]), CAST(:expires_at AS timestamptz[]), CAST(:caller AS text[]),
    CAST(:fairness_key AS text[]), CAST(:args AS text[]), CAST(:kwargs AS text[]), CAST(:tags AS text[]),
    CAST(:traceparent AS text[]), CAST(:dependencies AS text[]), CAST(:key AS text[]),
    CAST(:fingerprint AS text[])) AS given (alone, sent_epoch, id, task_type, queue, priority, max_attempts,
    sla_seconds, timeout_seconds, requested_timeout_seconds, delay_seconds, scheduled_at, expires_at, caller,
    fairness_key, args, kwargs, tags, traceparent, dependencies, key, fingerprint)) AS rows)
, claimed AS (
    INSERT INTO idempotency_key AS old (caller, key, task_id, fingerprint)
    SELECT caller, key, id, fingerprint FROM input ORDER BY caller, key
    ON CONFLICT (caller, key) DO UPDATE
        SET task_id = excluded.task_id, fingerprint = excluded.fingerprint, created_at = now()
        WHERE old.created_at < now() - CAST(:remembered AS float8) * interval '1 second'
    RETURNING task_id
)
, mine AS (SELECT input.* FROM input JOIN claimed ON claimed.task_id = input.id)
, stored AS (
    INSERT INTO task_live (alone, sent_epoch, id, task_type, queue, priority, max_attempts, sla_seconds,
        timeout_seconds, requested_timeout_seconds, delay_seconds, scheduled_at, expires_at, caller, fairness_key,
        args, kwargs, tags, traceparent, dependencies, submitted_at, due_at, dispatch, state, place)
    SELECT alone, sent_epoch, id, task_type, queue, priority, max_attempts, sla_seconds, timeout_seconds,
        requested_timeout_seconds, delay_seconds, scheduled_at, expires_at, caller, fairness_key, args, kwargs, tags,
        traceparent, dependencies, now(), due_at, CASE WHEN sent_epoch IS NULL THEN 0 ELSE 1 END,
        CASE WHEN due_at > now() THEN 'scheduled' ELSE 'queued' END,
        CASE WHEN due_at > now() THEN 'asleep' WHEN sent_epoch IS NULL THEN 'waiting' ELSE 'sent' END
    FROM (
        SELECT *, greatest(now(), coalesce(scheduled_at, now() + delay_seconds * interval '1 second')) AS due_at
        FROM mine
    ) AS due
)
, boxed AS (
    INSERT INTO outbox (task_ids) SELECT array_agg(id) FROM mine WHERE sent_epoch IS NOT NULL GROUP BY queue
    RETURNING id
)
, counted AS (
    INSERT INTO task_metrics_delta (task_type, queue, minute, caller, submitted, born_waiting, born_asleep)
    SELECT task_type, queue, date_trunc('minute', now()), caller, count(*),
        count(*) FILTER (WHERE sent_epoch IS NULL AND (coalesce(scheduled_at,
            now() + delay_seconds * interval '1 second') > now()) IS NOT TRUE),
        count(*) FILTER (WHERE coalesce(scheduled_at, now() + delay_seconds * interval '1 second') > now())
    FROM mine GROUP BY task_type, queue, caller
)
, told AS (INSERT INTO live_change (task_ids) SELECT array_agg(id) FROM mine WHERE EXISTS (SELECT FROM live_listening
    WHERE until > now()) HAVING count(*) > 0)
, published AS (DELETE FROM outbox WHERE id = ANY(CAST(:published AS bigint[])))
SELECT now() AS submitted_at, (SELECT array_agg(id) FROM boxed) AS outbox_ids,
    (SELECT array_agg(task_id) FROM claimed) AS accepted;

-- _CLAIM_KEY
INSERT INTO idempotency_key AS old (caller, key, task_id, fingerprint)
VALUES (:caller, :key, CAST(:id AS uuid), :fingerprint)
ON CONFLICT (caller, key) DO UPDATE
    SET task_id = excluded.task_id, fingerprint = excluded.fingerprint, created_at = now()
    WHERE old.created_at < now() - CAST(:remembered AS float8) * interval '1 second'
RETURNING task_id;

-- _FIND_KEYS
SELECT k.caller, k.key, k.task_id, k.fingerprint FROM idempotency_key k JOIN unnest(CAST(:caller AS text[]),
    CAST(:key AS text[])) AS rows (caller, key) USING (caller, key)
    WHERE k.created_at >= now() - CAST(:remembered AS float8) * interval '1 second';

-- _FIND_IDS
SELECT id, submitted_at FROM task_live WHERE id = ANY(CAST(:ids AS uuid[]))
UNION ALL SELECT id, submitted_at FROM task WHERE id = ANY(CAST(:ids AS uuid[]))
    AND id BETWEEN CAST(:low AS uuid) AND CAST(:high AS uuid);

-- _WAIT_NO_LONGER
SELECT set_config('lock_timeout', :wait, true);

-- _DROP_PUBLISHED
DELETE FROM outbox WHERE id = ANY(CAST(:published AS bigint[]));

-- _FORGET_KEYS
-- A key that is being taken again at this moment is passed over.
DELETE FROM idempotency_key WHERE (caller, key) IN (
SELECT caller, key FROM idempotency_key
WHERE created_at < now() - CAST(:remembered AS float8) * interval '1 second'
ORDER BY created_at LIMIT :most FOR UPDATE SKIP LOCKED);

----------------------------------------------------------------------------------------------------------------------
-- store/upkeep/condition.py
-- How the database server itself is: what it is set to, who uses it, and whether it keeps up with its own upkeep.

-- _SERVER
SELECT current_setting('server_version_num')::int AS version, pg_is_in_recovery() AS is_standby,
    current_setting('default_transaction_read_only')::bool AS read_only, current_setting('fsync')::bool AS fsync,
    current_setting('full_page_writes')::bool AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('autovacuum')::bool AND current_setting('track_counts')::bool AS autovacuum,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend')::int AS connections,
    (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name LIKE 'pointsman %')::int AS ours,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true)::int, 0) AS most_connections,
    age(d.datfrozenxid) AS transaction_age, mxid_age(d.datminmxid) AS multixact_age,
    current_setting('autovacuum_freeze_max_age')::int AS freeze_age,
    pg_backend_pid() AS pid,
    extract(epoch FROM pg_postmaster_start_time())::float8 AS started_at,
    extract(epoch FROM clock_timestamp())::float8 AS now
FROM pg_database d WHERE d.datname = current_database();

-- _LONG
SELECT pid, coalesce(application_name, '') AS application, coalesce(state, '') AS state,
    extract(epoch FROM clock_timestamp() - xact_start)::float8 AS seconds
FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
    AND xact_start < clock_timestamp() - CAST(:long AS float8) * interval '1 second'
ORDER BY xact_start LIMIT 5;

-- _UPKEEP
SELECT (now() AT TIME ZONE 'UTC')::date AS today,
    (SELECT max(c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = to_regclass('task') AND starts_with(c.relname, :prefix)) AS newest,
    coalesce(s.n_live_tup, 0) AS live_rows, coalesce(s.n_dead_tup, 0) AS dead_rows,
    greatest(s.last_vacuum, s.last_autovacuum) AS vacuumed_at, pg_database_size(current_database()) AS bytes
FROM (SELECT) AS one LEFT JOIN pg_stat_all_tables s ON s.relid = to_regclass('task_live');

----------------------------------------------------------------------------------------------------------------------
-- store/upkeep/indexes.py
-- Indexes of ended tasks that a migration has left to be built: on each day by itself, without stopping who writes.

-- _LACKING
-- Of an index that is not valid some day has none that belongs to it.
SELECT p.relname AS day, i.relname AS of, pg_get_indexdef(i.oid) AS definition, pg_relation_size(p.oid) AS bytes
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_inherits h ON h.inhparent = x.indrelid JOIN pg_class p ON p.oid = h.inhrelid
WHERE x.indrelid = 'task'::regclass AND NOT x.indisvalid AND NOT EXISTS (
    SELECT FROM pg_inherits a JOIN pg_index b ON b.indexrelid = a.inhrelid
    WHERE a.inhparent = i.oid AND b.indrelid = p.oid)
ORDER BY p.relname DESC, i.relname;

-- _LOCK
-- Session-wide: what is built beside others is built in no transaction.
SELECT pg_try_advisory_lock(hashtext('pointsman indexes'));

-- _UNLOCK
SELECT pg_advisory_unlock(hashtext('pointsman indexes'));

-- _PATIENCE
SELECT set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false);

-- building, step 1
DROP INDEX CONCURRENTLY IF EXISTS task_day_20000101_finished_at;

-- building, step 2
CREATE INDEX CONCURRENTLY task_day_20000101_finished_at ON task_day_20000101 USING btree (finished_at, id);

-- building, step 3
ALTER INDEX ix_task_finished_at ATTACH PARTITION task_day_20000101_finished_at;

----------------------------------------------------------------------------------------------------------------------
-- store/upkeep/partitions.py
-- Partitions of the finished tasks: one a day (UTC), by the time in the UUIDv7 id.

-- _LOCK
SELECT pg_advisory_xact_lock(hashtext('pointsman partitions'));

-- _TODAY
SELECT (now() AT TIME ZONE 'UTC')::date;

-- _THERE
-- NULL when there is none, without an error that would end the transaction.
SELECT to_regclass(:name);

-- making, step 1
CREATE TABLE task_day_20000101 (LIKE task INCLUDING DEFAULTS INCLUDING CONSTRAINTS);

-- making, step 2
LOCK TABLE task_default IN ACCESS EXCLUSIVE MODE;

-- making, step 3
WITH moved AS (DELETE FROM task_default WHERE id >= '00dc6acf-ac00-0000-0000-000000000000'
    AND id < '00dc6ff6-0800-0000-0000-000000000000' RETURNING *) INSERT INTO task_day_20000101 SELECT * FROM moved;

-- making, step 4
ALTER TABLE task ATTACH PARTITION task_day_20000101 FOR VALUES
    FROM ('00dc6acf-ac00-0000-0000-000000000000') TO ('00dc6ff6-0800-0000-0000-000000000000');

----------------------------------------------------------------------------------------------------------------------
-- store/upkeep/retention.py
-- Finished tasks leave by age: whole days at once, and what hangs on them after that.

-- _WAIT_NO_LONGER
SET LOCAL lock_timeout = 200;

-- _CUTOFF
SELECT now() - CAST(:days AS float8) * interval '1 day';

-- _PARTITIONS
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'task'::regclass AND starts_with(c.relname, :prefix) ORDER BY c.relname;

-- _DEFAULT_ROWS
WITH gone AS (
    DELETE FROM task_default WHERE id IN (SELECT id FROM task_default WHERE finished_at < :cutoff LIMIT :most)
    RETURNING id
), unburied AS (
    DELETE FROM dead_letter d USING gone g WHERE d.task_id = g.id RETURNING d.task_id, d.task_type, d.error_type,
        d.queue, d.failed_at
), counted AS (INSERT INTO dead_letter_delta (task_type, error_type, queue, hour, tasks) SELECT task_type, error_type,
    queue, date_trunc('hour', failed_at, 'UTC'), -count(*) FROM unburied GROUP BY task_type, error_type, queue,
    date_trunc('hour', failed_at, 'UTC'))
SELECT id FROM gone;

-- _UNBURY
-- One that is locked is just being run again: who does takes it away.
WITH old AS (
    SELECT task_id FROM dead_letter WHERE task_id >= CAST(:low AS uuid) AND task_id < CAST(:high AS uuid)
        AND task_id <> ALL(CAST(:survivors AS uuid[])) FOR UPDATE SKIP LOCKED
), unburied AS (
    DELETE FROM dead_letter d USING old o WHERE d.task_id = o.task_id RETURNING d.task_id, d.task_type, d.error_type,
        d.queue, d.failed_at
)
INSERT INTO dead_letter_delta (task_type, error_type, queue, hour, tasks) SELECT task_type, error_type, queue,
    date_trunc('hour', failed_at, 'UTC'), -count(*) FROM unburied GROUP BY task_type, error_type, queue,
    date_trunc('hour', failed_at, 'UTC');

-- _HOURS_OF_LETTERS
DELETE FROM dead_letter_count WHERE (task_type, error_type, queue, hour) IN (
SELECT task_type, error_type, queue, hour FROM dead_letter_count WHERE tasks = 0 AND hour < :cutoff
LIMIT :most FOR UPDATE SKIP LOCKED);

-- _DAYS_OF_LETTERS
DELETE FROM dead_letter_day WHERE (task_type, error_type, queue, day) IN (
SELECT task_type, error_type, queue, day FROM dead_letter_day WHERE tasks = 0 AND day < :cutoff
LIMIT :most FOR UPDATE SKIP LOCKED);

-- _ATTEMPTS
-- The bound beside the join keeps the planner from opening the days that are kept.
DELETE FROM task_attempt WHERE (task_id, attempt) IN (
SELECT a.task_id, a.attempt FROM task_attempt a WHERE a.task_id < CAST(:low AS uuid)
    AND NOT EXISTS (SELECT FROM task t WHERE t.id = a.task_id AND t.id < CAST(:low AS uuid))
    AND NOT EXISTS (SELECT FROM task_live t WHERE t.id = a.task_id)
LIMIT :most);

-- _REPLAYED
-- Who was run again once is not run again, as long as it is there.
DELETE FROM replayed_task WHERE task_id IN (
SELECT r.task_id FROM replayed_task r WHERE r.task_id < CAST(:low AS uuid)
    AND NOT EXISTS (SELECT FROM task t WHERE t.id = r.task_id AND t.id < CAST(:low AS uuid))
LIMIT :most);

-- _CANCELLED
DELETE FROM cancelled_task WHERE (act_id, task_id) IN (
SELECT act_id, task_id FROM cancelled_task WHERE act_id < CAST(:low AS uuid)
ORDER BY act_id, task_id LIMIT :most);

-- _REPLAYS
DELETE FROM replay WHERE id IN (
SELECT id FROM replay r WHERE requested_at < :cutoff
    AND NOT EXISTS (SELECT FROM replayed_task t WHERE t.replay_id = r.id)
    AND NOT EXISTS (SELECT FROM cancelled_task t WHERE t.act_id = r.id)
LIMIT :most);

-- _TRANSITIONS
DELETE FROM breaker_transition WHERE at < :cutoff
AND id IN (SELECT id FROM breaker_transition ORDER BY id LIMIT :most);

-- _DELIVERIES
-- What is still to be sent of an alert that ended stays, as its message is its own.
DELETE FROM alert_delivery WHERE id IN (
SELECT id FROM alert_delivery WHERE id < CAST(:low AS uuid) AND status <> 'pending' ORDER BY id LIMIT :most);

-- _ALERTS
DELETE FROM alert WHERE id IN (
SELECT id FROM alert WHERE resolved_at < :cutoff ORDER BY resolved_at LIMIT :most);

-- _SILENCES
DELETE FROM alert_silence WHERE id IN (SELECT id FROM alert_silence WHERE until < :cutoff LIMIT :most);

-- _ERROR_GROUPS
-- Whose newest failure is older than what is kept: its tasks are gone by then.
DELETE FROM error_group WHERE id IN (
SELECT id FROM error_group g WHERE last_seen_at < :cutoff
    AND NOT EXISTS (SELECT FROM error_delta d WHERE d.error_group = g.id)
LIMIT :most FOR UPDATE SKIP LOCKED);

-- _ERROR_CHANGES
DELETE FROM error_group_change WHERE id IN (
SELECT id FROM error_group_change c WHERE at < :cutoff
    AND NOT EXISTS (SELECT FROM error_group g WHERE g.id = c.error_group)
LIMIT :most);

-- _ERROR_COUNTS
-- Longer than any window that is counted in such steps.
DELETE FROM error_count WHERE (error_group, step_seconds, since, queue) IN (
SELECT error_group, step_seconds, since, queue FROM error_count
WHERE (step_seconds = 60 AND since < now() - interval '3 hours')
    OR (step_seconds = 3600 AND since < now() - interval '5 days')
    OR (step_seconds = 86400 AND since < least(:cutoff, now() - interval '33 days'))
LIMIT :most FOR UPDATE SKIP LOCKED);

-- _PREDICTIONS
-- How good predictions are is counted; each of them is looked at for days at most.
DELETE FROM prediction WHERE task_id IN (
SELECT task_id FROM prediction WHERE submitted_at < now() - interval '7 days' ORDER BY submitted_at LIMIT :most);

-- _PREDICTION_METRICS
DELETE FROM prediction_metrics WHERE (queue, span_seconds, at) IN (
SELECT queue, span_seconds, at FROM prediction_metrics
WHERE at < now() - CASE span_seconds WHEN 60 THEN interval '2 days' ELSE interval '400 days' END LIMIT :most);

-- _RUN_LOGS
-- They come in as their ids rise.
DELETE FROM run_log WHERE written_at < now() - CAST(:days AS float8) * interval '1 day'
AND id IN (SELECT id FROM run_log ORDER BY id LIMIT :most);

-- _NATIVE
DELETE FROM native_run WHERE id IN (
SELECT id FROM native_run WHERE finished_at < :cutoff ORDER BY finished_at LIMIT :most);

-- dropping_of (lock)
LOCK TABLE task_day_20000101 IN SHARE MODE;

-- dropping_of (ended_later)
SELECT id FROM task_day_20000101 WHERE id >= CAST(:low AS uuid) AND id < CAST(:high AS uuid)
    AND finished_at >= :before
LIMIT :most;

-- dropping_of (detach)
ALTER TABLE task DETACH PARTITION task_day_20000101;

-- dropping_of (keep)
INSERT INTO task (finished_at, run_seconds, queue_wait_seconds, result, error_type, error_message, error_traceback,
    error_group, id, state, task_type, queue, priority, attempt, max_attempts, interruptions, uncertain_sendings,
    dispatch, sla_seconds, timeout_seconds, requested_timeout_seconds, delay_seconds, submitted_at, due_at,
    scheduled_at, expires_at, started_at, caller, fairness_key, worker, args, kwargs, tags, traceparent, dependencies,
    held_reason, held_seconds, sla_met, progress, cancel_requested_at, cancel_requested_by, replayed_from)
    SELECT finished_at, run_seconds, queue_wait_seconds, result, error_type, error_message, error_traceback,
    error_group, id, state, task_type, queue, priority, attempt, max_attempts, interruptions, uncertain_sendings,
    dispatch, sla_seconds, timeout_seconds, requested_timeout_seconds, delay_seconds, submitted_at, due_at,
    scheduled_at, expires_at, started_at, caller, fairness_key, worker, args, kwargs, tags, traceparent, dependencies,
    held_reason, held_seconds, sla_met, progress, cancel_requested_at, cancel_requested_by, replayed_from
    FROM task_day_20000101 WHERE id = ANY(CAST(:ids AS uuid[]));

-- dropping_of (drop)
DROP TABLE task_day_20000101;

----------------------------------------------------------------------------------------------------------------------
-- store/upkeep/revision.py
-- Which revision the schema is at, and which is the newest.

-- _IS_THERE
SELECT to_regclass('alembic_version') IS NOT NULL;

-- _AT
SELECT version_num FROM alembic_version;

----------------------------------------------------------------------------------------------------------------------
-- store/upkeep/roles.py
-- Two roles in the database: that of the service, and an owner of what is kept of acts, which the service can only
-- add to. ``migrate`` sets them up; a database with one role for everything goes on as it is.

-- _LOCK
SELECT pg_advisory_xact_lock(hashtext('pointsman roles'));

-- _MAKE
SELECT format('CREATE ROLE %I LOGIN', CAST(:role AS text)) || CASE WHEN CAST(:password AS text) IS NULL THEN ''
    ELSE format(' PASSWORD %L', CAST(:password AS text)) END
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :role);

-- _JOIN
SELECT format('GRANT %I TO %I', r.rolname, current_user) FROM pg_roles r
WHERE r.rolname = :role AND NOT pg_has_role(current_user, r.oid, 'USAGE');

-- _ENTER
SELECT format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', current_schema(), CAST(:role AS text))
WHERE NOT (has_schema_privilege(:role, current_schema(), 'USAGE')
    AND has_schema_privilege(:role, current_schema(), 'CREATE'));

-- _TABLES_TO_HAND_OVER
-- A sequence or an index goes with its table.
SELECT format('ALTER TABLE %I OWNER TO %I', c.relname, CAST(:role AS text)) FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
    AND c.relowner <> CAST(CAST(:role AS text) AS regrole) AND c.relname <> ALL(CAST(:audit AS text[]))
    AND (c.relname = ANY(CAST(:ours AS text[])) OR starts_with(c.relname, :prefix))
ORDER BY c.relname;

-- _FUNCTIONS_TO_HAND_OVER
SELECT DISTINCT format('ALTER FUNCTION %s OWNER TO %I', p.oid::regprocedure, CAST(:role AS text))
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace
    AND c.relname = ANY(CAST(:ours AS text[])) AND c.relname <> ALL(CAST(:audit AS text[]))
    AND p.proowner <> CAST(CAST(:role AS text) AS regrole);

-- _QUOTED
SELECT quote_ident(CAST(:role AS text));

-- _FLOOR
UPDATE audit_head SET kept_days = :days WHERE kept_days <> :days;

-- _RIGHTS
SELECT r.rolname AS role, r.rolsuper AS superuser, pg_has_role(c.relowner, 'MEMBER') AS owner,
    pg_has_role(n.nspowner, 'MEMBER') AS owner_of_schema,
    has_any_column_privilege(c.oid, 'UPDATE') OR has_table_privilege(h.oid, 'UPDATE') AS update,
    has_table_privilege(c.oid, 'DELETE') OR has_table_privilege(h.oid, 'DELETE') AS delete,
    has_table_privilege(c.oid, 'TRUNCATE') OR has_table_privilege(h.oid, 'TRUNCATE') AS truncate,
    has_table_privilege(c.oid, 'TRIGGER') OR has_table_privilege(h.oid, 'TRIGGER') AS trigger
FROM pg_roles r, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_class h
WHERE r.rolname = current_user AND c.oid = to_regclass('audit') AND h.oid = to_regclass('audit_head');

----------------------------------------------------------------------------------------------------------------------
-- store/upkeep/schema.py
-- The schema: bring a database to a revision of it.

-- _PATIENCE
-- As migrations have it: who cannot have a table at once lets those who use it go on.
SET LOCAL lock_timeout = '5s';

----------------------------------------------------------------------------------------------------------------------
-- store/upkeep/shape.py
-- Whether a database has everything that the models need, whatever revision it says it is at.

-- _THERE
-- Some 400 rows of the system catalogues, in milliseconds. An index of a partitioned table is not valid while a day is
-- without: lists are slower then, and nothing is wrong.
WITH ours AS (
    SELECT name, to_regclass(quote_ident(name)) AS oid FROM unnest(CAST(:tables AS text[])) AS t (name)
)
SELECT 'column' AS kind, o.name AS of, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type
FROM ours o JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'index', o.name, c.relname, '' FROM ours o JOIN pg_index i ON i.indrelid = o.oid
JOIN pg_class c ON c.oid = i.indexrelid AND (i.indisvalid OR c.relkind = 'I')
UNION ALL
SELECT 'constraint', o.name, c.conname, '' FROM ours o JOIN pg_constraint c ON c.conrelid = o.oid;

----------------------------------------------------------------------------------------------------------------------
-- store/workers/catalogue.py
-- Task types as workers published them.

-- _PUBLISH
-- In the order of names, or two workers that start at once would wait for one another.
INSERT INTO task_type (name, content_hash, spec)
SELECT name, content_hash, spec::jsonb
FROM unnest(CAST(:name AS text[]), CAST(:content_hash AS text[]), CAST(:spec AS text[]))
    AS rows (name, content_hash, spec)
ORDER BY name
ON CONFLICT (name, content_hash) DO UPDATE SET last_published_at = now();

-- _OFFER
INSERT INTO worker_catalogue (owner, content_hashes) VALUES (:owner, CAST(:content_hash AS text[]))
ON CONFLICT (owner) DO UPDATE SET content_hashes = excluded.content_hashes, published_at = now()
RETURNING xmax = 0 AS is_new;

-- _FORGET_OFFERS
DELETE FROM worker_catalogue c WHERE published_at < now() - interval '1 day'
AND NOT EXISTS (SELECT FROM worker w WHERE w.owner = c.owner);

-- _NEWEST
-- Among versions that a living worker runs, the one seen first last is the newest: an old worker that restarts during a
-- deployment does not bring its version back. Without a living worker it is the one that was published last.
WITH live AS (
    SELECT DISTINCT unnest(c.content_hashes) AS content_hash FROM worker_catalogue c JOIN worker w USING (owner)
    WHERE w.last_seen_at > now() - CAST(:alive AS float8) * interval '1 second'
)
SELECT DISTINCT ON (name) t.name, t.spec, t.last_published_at, t.content_hash,
    live.content_hash IS NOT NULL AS is_live
FROM task_type t LEFT JOIN live USING (content_hash)
WHERE t.name > :after AND (CAST(:name AS text) IS NULL OR t.name = :name)
ORDER BY name, is_live DESC, CASE WHEN live.content_hash IS NULL THEN t.last_published_at
    ELSE t.first_published_at END DESC, t.last_published_at DESC, t.content_hash
LIMIT :most;

-- _PUBLISHERS
-- Whoever offers any version of a type, the newest word first; a start that is gone for a day is forgotten.
SELECT c.owner, w.last_seen_at, c.published_at, t.content_hash, t.first_published_at
FROM worker_catalogue c JOIN task_type t ON t.name = :name AND t.content_hash = ANY(c.content_hashes)
LEFT JOIN worker w USING (owner)
ORDER BY w.last_seen_at DESC NULLS LAST, c.published_at DESC, c.owner LIMIT :most;

----------------------------------------------------------------------------------------------------------------------
-- store/workers/parents.py
-- Worker parents, as their beats describe them.

-- _FORGET
DELETE FROM worker WHERE last_seen_at < now() - interval '1 day';

-- _SEEN
SELECT owner FROM worker WHERE last_seen_at > now() - CAST(:age AS float8) * interval '1 second';

-- seeing (one worker)
INSERT INTO worker (owner, name, pool, queues, processes, pid, host, contract, started_at, last_seen_at)
    VALUES (:owner_m0::VARCHAR, :name_m0::VARCHAR, :pool_m0::VARCHAR, :queues_m0::TEXT[], :processes_m0::INTEGER,
    :pid_m0::INTEGER, :host_m0::VARCHAR, :contract_m0::INTEGER, :started_at_m0::TIMESTAMP WITH TIME ZONE,
    :last_seen_at_m0::TIMESTAMP WITH TIME ZONE) ON CONFLICT (owner) DO UPDATE SET queues = excluded.queues,
    processes = excluded.processes, last_seen_at = now();

----------------------------------------------------------------------------------------------------------------------
-- store/workers/serving.py
-- Which task types the living workers of each queue have published.

-- _NODES
SELECT w.owner, w.name, w.queues, c.published_at FROM worker w LEFT JOIN worker_catalogue c USING (owner)
WHERE w.last_seen_at > now() - CAST(:dead_seconds AS float8) * interval '1 second'
UNION ALL
SELECT c.owner, '', NULL, c.published_at FROM worker_catalogue c
WHERE c.published_at > now() - interval '30 seconds'
    AND NOT EXISTS (SELECT FROM worker w WHERE w.owner = c.owner)
ORDER BY owner;

-- _TYPES
-- Nodes of one release have published the same: each such list is looked through once.
WITH offers AS (
    SELECT DISTINCT content_hashes FROM worker_catalogue WHERE owner = ANY(CAST(:owners AS text[]))
), named AS (
    SELECT o.content_hashes, array_agg(DISTINCT t.name) AS names FROM offers o
    CROSS JOIN unnest(o.content_hashes) AS h (content_hash) JOIN task_type t USING (content_hash) GROUP BY 1
)
SELECT c.owner, n.names FROM worker_catalogue c JOIN named n USING (content_hashes)
WHERE c.owner = ANY(CAST(:owners AS text[]));

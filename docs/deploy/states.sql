-- How many tasks there are in each state, finished or not: psql "$database" --file=docs/deploy/states.sql
SELECT state, count(task.state) AS tasks
FROM unnest(ARRAY[
    'scheduled', 'queued', 'held', 'running', 'retrying', 'succeeded', 'failed', 'cancelled', 'expired'
]) WITH ORDINALITY AS every (state, place)
LEFT JOIN (
    SELECT state FROM task_live
    UNION ALL
    SELECT state FROM task
) AS task USING (state)
GROUP BY state, place
ORDER BY place;

// TypeScript with @hey-api/openapi-ts: what somebody writes who has the generated client and nothing else of ours.
import { client } from "./made/client.gen";
import { getTask, listTasks, reportOutcomes, submitBatch, submitTask } from "./made/sdk.gen";
import type { BatchItem, TaskView } from "./made/types.gen";

declare const process: { argv: string[]; exitCode: number };

async function use(url: string, key: string): Promise<string> {
    client.setConfig({ baseUrl: url });
    const headers = { "Idempotency-Key": key };

    const first = await submitTask({ body: { task_type: "noop", args: [1] }, headers });
    if (first.data === undefined) throw new Error(JSON.stringify(first.error));
    let task: TaskView = first.data;
    const other = await submitTask({ body: { task_type: "noop", args: [2] }, headers });
    if (other.error?.task_id !== task.id) throw new Error(JSON.stringify(other.error));

    const tasks: BatchItem[] = [
        { task_type: "noop", idempotency_key: `${key}-item`, on_breaker_open: "hold" },
        { task_type: "nobody.knows" },
    ];
    const batch = await submitBatch({ body: { tasks } });
    if (batch.data?.accepted !== 1 || batch.data.results[1]?.problem?.status !== 422) throw new Error(JSON.stringify(batch.data));

    while (task.state !== "succeeded") {
        await new Promise((resolve) => setTimeout(resolve, 50));
        const answer = await getTask({ path: { task_id: task.id }, throwOnError: true });
        task = answer.data;
    }
    const page = await listTasks({ query: { state: "succeeded", limit: 1 } });
    if (page.data?.items.length !== 1) throw new Error(JSON.stringify(page.error));

    const breaker = await reportOutcomes({
        path: { scope: "dependency", name: "api.example.org" },
        body: { outcomes: [{ outcome: "success", run_seconds: 0.5 }] },
    });
    if (breaker.data?.state !== "closed") throw new Error(JSON.stringify(breaker.error));
    return task.state;
}

void use(process.argv[2]!, process.argv[3]!).then(console.log, (error) => {
    process.exitCode = 1;
    console.error(error);
});

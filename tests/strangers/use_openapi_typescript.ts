// TypeScript with openapi-typescript and openapi-fetch: what somebody writes who has the types and nothing else of ours.
import createClient from "openapi-fetch";
import type { components, paths } from "./made";

declare const process: { argv: string[]; exitCode: number };

async function use(url: string, key: string): Promise<string> {
    const client = createClient<paths>({ baseUrl: url });
    const header = { "Idempotency-Key": key };

    const first = await client.POST("/v1/tasks", { body: { task_type: "noop", args: [1] }, params: { header } });
    if (first.data === undefined) throw new Error(first.error.detail);
    let task: components["schemas"]["TaskView"] = first.data;
    const other = await client.POST("/v1/tasks", { body: { task_type: "noop", args: [2] }, params: { header } });
    if (other.error?.task_id !== task.id) throw new Error(JSON.stringify(other));

    const tasks: components["schemas"]["BatchItem"][] = [
        { task_type: "noop", idempotency_key: `${key}-item`, on_breaker_open: "hold" },
        { task_type: "nobody.knows" },
    ];
    const batch = await client.POST("/v1/tasks/batch", { body: { tasks } });
    if (batch.data?.accepted !== 1 || batch.data.results[1]?.problem?.status !== 422) throw new Error(JSON.stringify(batch));

    while (task.state !== "succeeded") {
        await new Promise((resolve) => setTimeout(resolve, 50));
        const answer = await client.GET("/v1/tasks/{task_id}", { params: { path: { task_id: task.id } } });
        if (answer.data === undefined) throw new Error(answer.error.detail);
        task = answer.data;
    }
    const page = await client.GET("/v1/tasks", { params: { query: { state: "succeeded", limit: 1 } } });
    if (page.data?.items.length !== 1) throw new Error(JSON.stringify(page));

    const breaker = await client.POST("/v1/breakers/{scope}/{name}/outcomes", {
        params: { path: { scope: "dependency", name: "api.example.org" } },
        body: { outcomes: [{ outcome: "success", run_seconds: 0.5 }] },
    });
    if (breaker.data?.state !== "closed") throw new Error(JSON.stringify(breaker));
    return task.state;
}

void use(process.argv[2]!, process.argv[3]!).then(console.log, (error) => {
    process.exitCode = 1;
    console.error(error);
});

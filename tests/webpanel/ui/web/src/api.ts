// Calls of the Subscription API; every failure is a problem document.
import type { ProblemDocument } from "./types";

export class ApiError extends Error {
  constructor(readonly problem: ProblemDocument) {
    super(problem.detail);
  }
}

export async function call<T>(path: string, method = "GET", body?: unknown): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError({
      title: "Panel server not reachable",
      status: 0,
      detail: "The Web Panel's own server does not answer. Start it again with `make panel-ui`.",
    });
  }
  const content: unknown = await response.json().catch(() => null);
  if (!response.ok) {
    throw new ApiError(
      (content as ProblemDocument | null) ?? {
        title: response.statusText,
        status: response.status,
        detail: "The answer holds no explanation.",
      },
    );
  }
  return content as T;
}

/** The problem behind anything that was thrown. */
export const problemOf = (error: unknown): ProblemDocument =>
  error instanceof ApiError ? error.problem : { title: "Error", status: 0, detail: String(error) };

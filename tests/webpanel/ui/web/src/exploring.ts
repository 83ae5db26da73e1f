// What both explorers need: the names to choose from, and a query with its outcome.
import { signal } from "@preact/signals";
import { call, problemOf } from "./api";
import type { Choices, Exchange, ProblemDocument } from "./types";

export const choices = signal<Choices>({ origins: [], brands: [], categories: [], cookies: [] });

export async function loadChoices(): Promise<void> {
  if (choices.peek().origins.length) return;
  choices.value = await call<Choices>("/explore/choices").catch(() => choices.peek());
}

/** Either the platform's answer or what went wrong, in the same terms. */
export type Outcome = { exchange: Exchange } | { problem: ProblemDocument; curl?: string };

export async function ask(path: string): Promise<Outcome> {
  try {
    const exchange = await call<Exchange>(path);
    if (exchange.status === 200) return { exchange };
    return { problem: asProblem(exchange), curl: exchange.curl };
  } catch (error) {
    return { problem: problemOf(error) };
  }
}

function asProblem(exchange: Exchange): ProblemDocument {
  const body = exchange.body as Partial<ProblemDocument> | string | null;
  if (body && typeof body === "object" && body.detail) return body as ProblemDocument;
  return { title: "The platform refused", status: exchange.status, detail: String(body ?? "") };
}

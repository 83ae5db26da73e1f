// The documents of the Subscription API (see /docs).

export type State =
  | "starting"
  | "running"
  | "draining"
  | "paused"
  | "finished"
  | "closed"
  | "broken";

export interface Requests {
  sent: number;
  status_2xx: number;
  status_4xx: number;
  status_5xx: number;
  status_other: number;
  connect: number;
  read_timeout: number;
  other: number;
  dropped: number;
}

export interface Verdicts {
  ok: number;
  ok_loose: number;
  wrong: number;
  empty: number;
  unanswered: number;
  not_judged: number;
}

export interface Counters {
  elapsed_s: number;
  total_tags: number;
  tags: Requests;
  profiles: Requests;
  aggregates: Requests;
  profile_answers: Verdicts;
  aggregate_answers: Verdicts;
  progress_percent: number;
  score: number;
  dropped: number;
  wrong: number;
  flawless: boolean;
  profiles_right_percent: number;
  aggregates_right_percent: number;
}

export interface Parameters {
  host: string;
  port: number;
  rate: number;
  seed: number;
  duration_s: number;
  step_ms: number;
  start: string;
  total_tags: number;
}

export interface Sender {
  lag_p99_ms: number;
  lag_max_ms: number;
  cores: number;
}

/** What changes a few times a second. */
export interface Live {
  id: string;
  state: State;
  error: string | null;
  ended_at: string | null;
  counters: Counters;
  sender: Sender | null;
}

export interface Subscription extends Live {
  started_at: string;
  parameters: Parameters;
}

export type Column = (number | null)[];

export interface History {
  seconds_a_point: number;
  columns: Record<string, Column>;
}

export interface Partition {
  partition: number;
  state: string;
  offset: number | null;
  log_end: number | null;
  lag: number | null;
  watermark: string | null;
  last_flush: string | null;
  last_flush_ms: number;
  last_flush_rows: number;
  error: string | null;
}

export interface PlatformStatus {
  host: string;
  port: number;
  reachable: boolean;
  error: string | null;
  partitions: Partition[] | null;
}

export interface WrongSummary {
  number: number;
  at_s: number;
  verdict: "wrong" | "empty";
  request: string;
  difference: string;
}

export interface WrongAnswer extends WrongSummary {
  expected: string;
  actual: string;
  curl: string;
}

export interface Whole {
  target: { host: string; port: number };
  subscription: Subscription | null;
  history: History | null;
  wrong: WrongSummary[];
  platform: PlatformStatus | null;
}

export interface Exchange {
  curl: string;
  status: number;
  took_ms: number;
  body: unknown;
}

export interface Choices {
  origins: string[];
  brands: string[];
  categories: string[];
  cookies: string[];
}

export interface ProblemDocument {
  title: string;
  status: number;
  detail: string;
  field?: string;
  retry_after_s?: number;
}

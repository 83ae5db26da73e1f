import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { call, problemOf } from "./api";
import { DiffView } from "./DiffView";
import { count } from "./format";
import { Icon } from "./Icon";
import { Command, Problem } from "./parts";
import { subscription, wrong } from "./state";
import type { ProblemDocument, WrongAnswer, WrongSummary } from "./types";

/** A list of the latest wrong answers, and the chosen one explained. */
export function WrongView() {
  const chosen = useSignal<number | null>(wrong.peek()[0]?.number ?? null);
  const run = subscription.value;
  const total = run?.counters.wrong ?? 0;
  useSignalEffect(() => {
    if (chosen.peek() === null && wrong.value[0]) chosen.value = wrong.value[0].number;
  });
  if (!run || wrong.value.length === 0) {
    return (
      <section class="card nothing">
        <Icon name="check" />
        <h1>No wrong answers</h1>
        <p class="muted">
          {run
            ? "Every answer so far was the expected one. A wrong one appears here at once, explained."
            : "There is no subscription yet."}
        </p>
      </section>
    );
  }
  return (
    <div class="wrong">
      <section class="card list" aria-label="Latest wrong answers">
        <h1>
          Wrong answers <small>{count(wrong.value.length)} latest of {count(total)}</small>
        </h1>
        <List chosen={chosen.value} onChoose={(number) => (chosen.value = number)} />
      </section>
      {chosen.value !== null && <Explained run={run.id} number={chosen.value} />}
    </div>
  );
}

function List({ chosen, onChoose }: { chosen: number | null; onChoose: (number: number) => void }) {
  const element = useRef<HTMLUListElement>(null);
  const move = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = wrong.value.findIndex((one) => one.number === chosen);
    const next = wrong.value[Math.min(wrong.value.length - 1, Math.max(0, at + step))];
    if (next) onChoose(next.number);
  };
  useEffect(() => {
    element.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  return (
    <ul
      ref={element}
      role="listbox"
      tabIndex={0}
      aria-label="Wrong answers, newest first"
      aria-activedescendant={chosen === null ? undefined : `wrong-${chosen}`}
      onKeyDown={move}
    >
      {wrong.value.map((one) => (
        <li
          key={one.number}
          id={`wrong-${one.number}`}
          role="option"
          aria-selected={one.number === chosen}
          onClick={() => onChoose(one.number)}
        >
          <span class={`tag ${one.verdict}`}>{one.verdict}</span>
          <b>{kindOf(one)}</b>
          <span class="muted">
            no. {count(one.number)}, at {one.at_s.toFixed(0)} s
          </span>
          <p>{one.difference}</p>
        </li>
      ))}
    </ul>
  );
}

const kindOf = (one: WrongSummary) => (one.request.includes("/aggregates?") ? "Aggregate" : "Profile");

function Explained({ run, number }: { run: string; number: number }) {
  const answer = useSignal<WrongAnswer | null>(null);
  const problem = useSignal<ProblemDocument | null>(null);
  useEffect(() => {
    let current = true;
    call<WrongAnswer>(`/subscriptions/${run}/wrong-answers/${number}`).then(
      (found) => {
        if (!current) return;
        answer.value = found;
        problem.value = null;
      },
      (error: unknown) => {
        if (current) problem.value = problemOf(error);
      },
    );
    return () => {
      current = false;
    };
  }, [run, number]);
  if (problem.value) return <Problem problem={problem.value} />;
  const one = answer.value;
  if (!one) return <section class="card empty">Loading…</section>;
  return (
    <section class="card explained" aria-label="The chosen wrong answer">
      <h2>
        {kindOf(one)} answer no. {count(one.number)} is {one.verdict}
      </h2>
      <ul class="reasons">
        {one.difference.split(". ").map((reason) => (
          <li key={reason}>{reason}</li>
        ))}
      </ul>
      <h3>Ask again</h3>
      <Command text={one.curl} />
      <DiffView expected={one.expected} actual={one.actual} />
    </section>
  );
}

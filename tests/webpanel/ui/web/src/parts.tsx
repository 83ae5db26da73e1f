// Small pieces that several views use.
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Icon } from "./Icon";
import type { ProblemDocument } from "./types";

interface BannerProps {
  kind: "ok" | "warn" | "bad" | "info";
  title: string;
  children?: ComponentChildren;
}

export function Banner({ kind, title, children }: BannerProps) {
  return (
    <section class={`banner ${kind}`} role={kind === "bad" ? "alert" : "status"}>
      <strong>{title}</strong>
      {children && <div>{children}</div>}
    </section>
  );
}

/** A problem document, in plain words. */
export function Problem({ problem }: { problem: ProblemDocument }) {
  return (
    <Banner kind="bad" title={problem.status ? `${problem.status} ${problem.title}` : problem.title}>
      {problem.detail}
      {problem.field && (
        <>
          {" "}
          Field: <code>{problem.field}</code>.
        </>
      )}
      {problem.retry_after_s && ` Try again in ${problem.retry_after_s} s.`}
    </Banner>
  );
}

/** A shell command with a button that copies it. */
export function Command({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <div class="command">
      <code tabIndex={0}>{text}</code>
      <button onClick={() => void copy()} aria-label="Copy the curl command">
        <Icon name={copied ? "check" : "copy"} />
        <span aria-live="polite">{copied ? "Copied" : "Copy"}</span>
      </button>
    </div>
  );
}

interface ChoiceProps<T> {
  label: string;
  options: readonly (readonly [T, string])[];
  value: T;
  onChange: (value: T) => void;
}

/** A few alternatives side by side: a group of toggle buttons. */
export function Choice<T extends string | number>({ label, options, value, onChange }: ChoiceProps<T>) {
  return (
    <div class="choice" role="group" aria-label={label}>
      {options.map(([one, title]) => (
        <button key={one} type="button" aria-pressed={one === value} onClick={() => onChange(one)}>
          {title}
        </button>
      ))}
    </div>
  );
}

import { Icon } from "./Icon";
import { helpOpen, platform, show, subscription, target, view, type View } from "./state";
import { count } from "./format";
import { nextTheme, theme } from "./theme";

const TABS: [View, string][] = [
  ["live", "Live"],
  ["wrong", "Wrong answers"],
  ["explore", "Explore"],
];

export function Header() {
  const wrong = subscription.value?.counters.wrong ?? 0;
  return (
    <header class="top">
      <div class="brand">
        <img src="/favicon.svg" alt="" width="24" height="24" />
        Web Panel
      </div>
      <nav aria-label="Views">
        {TABS.map(([name, title]) => (
          <a
            key={name}
            href={`#${name}`}
            aria-current={view.value === name ? "page" : undefined}
            onClick={() => show(name)}
          >
            {title}
            {name === "wrong" && wrong > 0 && <b class="badge">{count(wrong)}</b>}
          </a>
        ))}
      </nav>
      <div class="tools">
        <Target />
        <button
          class="icon"
          onClick={nextTheme}
          aria-label={`Theme: ${theme.value}`}
          title={`Theme: ${theme.value} (T)`}
        >
          <Icon name={theme.value} />
        </button>
        <button class="icon" onClick={() => (helpOpen.value = true)} aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)">
          <Icon name="help" />
        </button>
        <a class="quiet" href="/docs" target="_blank" rel="noreferrer">
          API docs
        </a>
      </div>
    </header>
  );
}

function Target() {
  const status = platform.value;
  const kind = status === null ? "idle" : status.reachable ? "ok" : "bad";
  const words = { idle: "not asked yet", ok: "reachable", bad: "not reachable" }[kind];
  return (
    <span class="target" title={status?.error ?? words}>
      <i class={`dot ${kind}`} />
      <span class="unseen">Platform, {words}: </span>
      {target.value.host}:{target.value.port}
    </span>
  );
}

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { BarChart, type Bars } from "./BarChart";
import { ask, choices, loadChoices, type Outcome } from "./exploring";
import { count, figure, isoTime, TIME_PATTERN } from "./format";
import { Icon } from "./Icon";
import { Choice, Command, Problem } from "./parts";
import { platform, subscription } from "./state";

const MINUTE_MS = 60_000;
const MOST_MINUTES = 10;
const FILTERS = [
  ["origin", "Origin", "origins"],
  ["brand_id", "Brand", "brands"],
  ["category_id", "Category", "categories"],
] as const;
const ACTIONS = [["both", "Both"], ["VIEW", "Views"], ["BUY", "Buys"]] as const;
const MEASURES = [["count", "Count"], ["sum_price", "Sum of prices"]] as const;

/** The last minutes that are whole in every partition, but none before the stream began. */
function lastMinutes(): string {
  const marks = (platform.peek()?.partitions ?? []).map((one) => one.watermark);
  const known = marks.filter((mark): mark is string => mark !== null).map((mark) => Date.parse(mark));
  const start = Date.parse(subscription.peek()?.parameters.start ?? "2022-03-01T00:00:00Z");
  const end = Math.floor(Math.min(...known) / MINUTE_MS) * MINUTE_MS;
  return minuteText(known.length ? Math.max(start, end - MOST_MINUTES * MINUTE_MS) : start);
}

const minuteText = (ms: number) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const parse = (text: string) => Date.parse(`${isoTime(text)}Z`);

interface Answer {
  columns: string[];
  rows: string[][];
}

export function AggregateExplorer() {
  const from = useSignal(lastMinutes());
  const minutes = useSignal("10");
  const action = useSignal<"both" | "VIEW" | "BUY">("both");
  const measure = useSignal<"count" | "sum_price">("count");
  const filters = useSignal<Record<string, string>>({});
  const outcomes = useSignal<[string, Outcome][]>([]);
  const busy = useSignal(false);
  useEffect(() => void loadChoices(), []);

  const look = async () => {
    busy.value = true;
    const start = parse(from.value);
    const end = start + Number(minutes.value) * MINUTE_MS;
    const actions = action.value === "both" ? ["VIEW", "BUY"] : [action.value];
    const found: [string, Outcome][] = [];
    for (const one of actions) {
      const query = new URLSearchParams({ time_range: `${isoTime(from.value)}_${isoTime(minuteText(end))}`, action: one });
      query.append("aggregates", "COUNT");
      query.append("aggregates", "SUM_PRICE");
      for (const [name] of FILTERS) if (filters.value[name]) query.append(name, filters.value[name]);
      found.push([one, await ask(`/explore/aggregates?${query}`)]);
    }
    outcomes.value = found;
    busy.value = false;
  };
  const shift = (by: number) => {
    from.value = minuteText(parse(from.value) + by * Number(minutes.value) * MINUTE_MS);
    void look();
  };

  return (
    <section class="card" aria-label="Aggregate explorer">
      <h2>Aggregates a minute</h2>
      <form
        class="fields three"
        onSubmit={(event) => {
          event.preventDefault();
          void look();
        }}
      >
        <label>
          <span>From (UTC)</span>
          <input name="from" required pattern={TIME_PATTERN} value={from.value} onInput={(event) => (from.value = event.currentTarget.value)} />
        </label>
        <label>
          <span>Minutes</span>
          <input name="minutes" type="number" min="1" max={MOST_MINUTES} required value={minutes.value} onInput={(event) => (minutes.value = event.currentTarget.value)} />
        </label>
        <div class="field">
          <span>Action</span>
          <Choice label="Action" options={ACTIONS} value={action.value} onChange={(value) => (action.value = value)} />
        </div>
        {FILTERS.map(([name, title, list]) => (
          <label key={name}>
            <span>{title}</span>
            <input
              name={name}
              list={list}
              placeholder="any"
              autocomplete="off"
              spellcheck={false}
              value={filters.value[name] ?? ""}
              onInput={(event) => (filters.value = { ...filters.peek(), [name]: event.currentTarget.value })}
            />
            <datalist id={list}>
              {choices.value[list].map((one) => (
                <option key={one} value={one} />
              ))}
            </datalist>
          </label>
        ))}
        <div class="row">
          <button class="primary" type="submit" disabled={busy.value}>
            {busy.value ? "Asking…" : "Show aggregates"}
          </button>
          <button type="button" class="icon" onClick={() => shift(-1)} aria-label="Earlier" title="Earlier">
            <Icon name="left" />
          </button>
          <button type="button" class="icon" onClick={() => shift(1)} aria-label="Later" title="Later">
            <Icon name="right" />
          </button>
        </div>
      </form>
      {outcomes.value.length > 0 && (
        <Found
          outcomes={outcomes.value}
          measure={measure.value}
          onMeasure={(value) => (measure.value = value)}
        />
      )}
    </section>
  );
}

interface FoundProps {
  outcomes: [string, Outcome][];
  measure: "count" | "sum_price";
  onMeasure: (value: "count" | "sum_price") => void;
}

function Found({ outcomes, measure, onMeasure }: FoundProps) {
  const bars: Bars[] = [];
  let minutes: string[] = [];
  const title = measure === "count" ? "tags" : "sum of prices";
  for (const [action, outcome] of outcomes) {
    if ("problem" in outcome) {
      return (
        <>
          <Problem problem={outcome.problem} />
          {outcome.curl && <Command text={outcome.curl} />}
        </>
      );
    }
    const answer = outcome.exchange.body as Answer;
    const at = answer.columns.indexOf(measure);
    minutes = answer.rows.map((row) => row[0] ?? "");
    bars.push({ name: action, colour: action === "VIEW" ? "blue" : "orange", values: answer.rows.map((row) => Number(row[at])) });
  }
  const total = bars.reduce((all, one) => all + one.values.reduce((a, b) => a + b, 0), 0);
  const took = outcomes.map(([, one]) => ("exchange" in one ? figure(one.exchange.took_ms) : "")).join(" and ");
  return (
    <>
      <div class="row heading">
        <p>
          <b>{count(total)}</b> {measure === "count" ? "tags" : "in prices"} <span class="muted">in {took} ms</span>
        </p>
        <Choice label="Measure" options={MEASURES} value={measure} onChange={onMeasure} />
      </div>
      <BarChart minutes={minutes} bars={bars} title={`${title} a minute`} />
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th class="text">minute</th>
              {bars.map((one) => (
                <th key={one.name}>{one.name === "VIEW" ? "views" : "buys"}</th>
              ))}
            </tr>
          </thead>
          <tbody>
            {minutes.map((minute, at) => (
              <tr key={minute}>
                <td class="text">{minute.replace("T", " ")}</td>
                {bars.map((one) => (
                  <td key={one.name}>{count(one.values[at] ?? 0)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {outcomes.map(([action, one]) => "exchange" in one && <Command key={action} text={one.exchange.curl} />)}
    </>
  );
}

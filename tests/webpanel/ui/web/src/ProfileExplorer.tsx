import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ask, choices, loadChoices, type Outcome } from "./exploring";
import { count, figure, isoTime, plainTime, TIME_PATTERN } from "./format";
import { Choice, Command, Problem } from "./parts";

interface Tag {
  time: string;
  country: string;
  device: string;
  action: "VIEW" | "BUY";
  origin: string;
  product_info: { product_id: number | string; brand_id: string; category_id: string; price: number };
}

interface Profile {
  cookie: string;
  views: Tag[];
  buys: Tag[];
}

const EVER = ["1970-01-01T00:00:00.000", "2100-01-01T00:00:00.000"] as const;
const SAMPLES = 4;

export function ProfileExplorer() {
  const cookie = useSignal("");
  const from = useSignal("");
  const to = useSignal("");
  const limit = useSignal("200");
  const outcome = useSignal<Outcome | null>(null);
  const busy = useSignal(false);
  useEffect(() => void loadChoices(), []);

  const look = async (name: string) => {
    cookie.value = name;
    busy.value = true;
    const range = `${isoTime(from.value) || EVER[0]}_${isoTime(to.value) || EVER[1]}`;
    const query = new URLSearchParams({ cookie: name, time_range: range, limit: limit.value });
    outcome.value = await ask(`/explore/profile?${query}`);
    busy.value = false;
  };

  return (
    <section class="card" aria-label="Profile explorer">
      <h2>A cookie's history</h2>
      <form
        class="fields three"
        onSubmit={(event) => {
          event.preventDefault();
          void look(cookie.value.trim());
        }}
      >
        <label class="wide">
          <span>Cookie</span>
          <input
            name="cookie"
            required
            autocomplete="off"
            spellcheck={false}
            value={cookie.value}
            list="cookies"
            placeholder="20 letters"
            onInput={(event) => (cookie.value = event.currentTarget.value)}
          />
          <datalist id="cookies">
            {choices.value.cookies.map((name) => (
              <option key={name} value={name} />
            ))}
          </datalist>
        </label>
        <label>
          <span>From (UTC)</span>
          <input name="from" pattern={TIME_PATTERN} placeholder="the first" value={from.value} onInput={(event) => (from.value = event.currentTarget.value)} />
        </label>
        <label>
          <span>To (UTC)</span>
          <input name="to" pattern={TIME_PATTERN} placeholder="the last" value={to.value} onInput={(event) => (to.value = event.currentTarget.value)} />
        </label>
        <label>
          <span>Limit</span>
          <input name="limit" type="number" min="0" required value={limit.value} onInput={(event) => (limit.value = event.currentTarget.value)} />
        </label>
        <button class="primary" type="submit" disabled={busy.value}>
          {busy.value ? "Asking…" : "Show history"}
        </button>
      </form>
      <p class="muted samples">
        Busy cookies of the stream:
        {choices.value.cookies.slice(0, SAMPLES).map((name) => (
          <button key={name} class="chip" type="button" onClick={() => void look(name)}>
            {name}
          </button>
        ))}
      </p>
      {outcome.value && <Found outcome={outcome.value} />}
    </section>
  );
}

function Found({ outcome }: { outcome: Outcome }) {
  const shown = useSignal<"all" | "VIEW" | "BUY">("all");
  if ("problem" in outcome) {
    return (
      <>
        <Problem problem={outcome.problem} />
        {outcome.curl && <Command text={outcome.curl} />}
      </>
    );
  }
  const profile = outcome.exchange.body as Profile;
  const tags = [...profile.views, ...profile.buys]
    .filter((tag) => shown.value === "all" || tag.action === shown.value)
    .sort((a, b) => Date.parse(b.time) - Date.parse(a.time));
  return (
    <>
      <div class="row heading">
        <p>
          <b>{count(profile.views.length)}</b> views, <b>{count(profile.buys.length)}</b> buys{" "}
          <span class="muted">in {figure(outcome.exchange.took_ms)} ms</span>
        </p>
        <Choice
          label="Actions shown"
          options={[["all", "All"], ["VIEW", "Views"], ["BUY", "Buys"]] as const}
          value={shown.value}
          onChange={(value) => (shown.value = value)}
        />
      </div>
      {tags.length === 0 ? (
        <p class="empty">No tags: nothing is known of this cookie in this range.</p>
      ) : (
        <div class="scroll tall" tabIndex={0} role="region" aria-label="Tags, newest first">
          <table>
            <thead>
              <tr>
                <th class="text">time</th>
                <th class="text">action</th>
                <th class="text">product</th>
                <th>price</th>
                <th class="text">origin</th>
              </tr>
            </thead>
            <tbody>
              {tags.map((tag, at) => (
                <tr key={`${tag.time} ${tag.action} ${at}`}>
                  <td class="text">
                    {plainTime(tag.time)}
                    <small class="muted">{tag.time.match(/\.\d+/)?.[0]}</small>
                  </td>
                  <td class="text">
                    <span class={`tag ${tag.action.toLowerCase()}`}>{tag.action}</span>
                  </td>
                  <td class="text">
                    {tag.product_info.brand_id}
                    <small class="muted under">{tag.product_info.category_id}, no. {tag.product_info.product_id}</small>
                  </td>
                  <td>{count(tag.product_info.price)}</td>
                  <td class="text">
                    {tag.origin}
                    <small class="muted under">
                      {tag.country}, {tag.device}
                    </small>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      <Command text={outcome.exchange.curl} />
    </>
  );
}

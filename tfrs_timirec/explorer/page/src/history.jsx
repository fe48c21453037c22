import { useMemo } from "preact/hooks";
import { withItem } from "./app.jsx";
import { Combobox } from "./combobox.jsx";

/** Who is asked for: a user of the log, or a history that was made here. */
export function History({ data, user, setUser, choose, answer }) {
  const { about, items, users, titleOf } = data;
  const names = useMemo(() => users.ids.map(String), []);
  const titles = useMemo(() => items.ids.map((_, item) => titleOf(item)), []);
  const popular = useMemo(
    () => items.ids.map((_, item) => item).sort((a, b) => items.counts[b] - items.counts[a]),
    [],
  );
  const { history, times, seen, number } = user;
  // What came next is known of the history as it was alone.
  const edit = (changed) => setUser({ ...changed, number: null, next: -1 });
  const without = (position) =>
    edit({
      ...user,
      history: history.filter((_, i) => i !== position),
      times: times.filter((_, i) => i !== position),
    });
  const swap = (position) => {
    const moved = [...history];
    [moved[position], moved[position + 1]] = [moved[position + 1], moved[position]];
    edit({ ...user, history: moved });
  };
  const some = users.ids.length < users.of;
  const shown = answer?.question.history === history ? answer.interests : null;
  const unread = history.length - about.history_length;

  return (
    <section class="history" aria-labelledby="history-title">
      <h2 id="history-title">{number === null ? "A user of yours" : `User ${users.ids[number]}`}</h2>
      <Combobox
        label={some ? `Users (${users.ids.length.toLocaleString("en")} of ${users.of.toLocaleString("en")})` : "Users"}
        texts={names}
        choose={choose}
        note={(place) => `${users.histories[place].length} items`}
      />
      <div class="buttons">
        <button type="button" onClick={() => choose(Math.floor(Math.random() * names.length))}>
          Any user
        </button>
        <button type="button" onClick={() => edit({ history: [], times: [], seen: [] })}>
          Start empty
        </button>
      </div>
      <Combobox
        label="Add an item"
        texts={titles}
        order={popular}
        choose={(item) => setUser(withItem(user, item))}
        note={(item) => `${items.counts[item].toLocaleString("en")}×`}
      />
      <h3>History, newest first</h3>
      {!history.length && <p class="quiet">Without a history the most popular items are recommended.</p>}
      <ol reversed class="items">
        {history
          .map((item, position) => (
            <li key={`${item}-${position}`} id={`history-${position}`} class={position < unread ? "unread" : ""}>
              <span class="title">{titleOf(item)}</span>
              <Shares interests={shown} position={position} />
              <span class="actions">
                <button type="button" aria-label={`Make ${titleOf(item)} newer`} disabled={position === history.length - 1} onClick={() => swap(position)}>
                  ↑
                </button>
                <button type="button" aria-label={`Make ${titleOf(item)} older`} disabled={!position} onClick={() => swap(position - 1)}>
                  ↓
                </button>
                <button type="button" aria-label={`Remove ${titleOf(item)}`} onClick={() => without(position)}>
                  ×
                </button>
              </span>
            </li>
          ))
          .reverse()}
      </ol>
      {seen.length > 0 && (
        <p class="quiet">
          {seen.length} older ones are too old for the model to read; they are only not recommended again.
        </p>
      )}
    </section>
  );
}

/** A square an interest, the fuller the larger the item's share in it. */
function Shares({ interests, position }) {
  if (!interests) return <span class="shares" />;
  const told = interests.map(({ number, shares }) => `${letter(number)} ${percent(shares[position])}`).join(", ");
  return (
    <span class="shares" role="img" aria-label={`Shares in the interests: ${told}`} title={told}>
      {interests.map(({ number, shares }) => (
        <i key={number} data-interest={number % 8} style={{ "--share": shares[position] / Math.max(...shares, 1e-9) }} />
      ))}
    </span>
  );
}

export const letter = (number) => String.fromCharCode(65 + number);
export const percent = (share) => `${Math.round(100 * share)} %`;

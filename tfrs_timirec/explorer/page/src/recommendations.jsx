import { Combobox } from "./combobox.jsx";
import { DEPTH } from "./answer.js";
import { percent } from "./history.jsx";
import { Badge, nameOf } from "./interests.jsx";

/** The rankings, of the weighted interests and of the best-matching one, and what changes them. */
export function Recommendations({ data, interests, answer, controls, change, diverse }) {
  const { about, titleOf } = data;
  const known = answer?.question.history.length > 0;
  // Where the best-matching of several vectors ranks anyway, there is nothing to compare with.
  const compared = known && about.interests > 1 && about.queries < about.interests;
  const heading = compared
    ? "By the predicted interests"
    : answer && !known
      ? "Most popular"
      : about.interests > 1
        ? "By the best match"
        : "Ranking";
  const { k } = controls;
  const ranking = answer?.ranking.slice(0, k) ?? [];
  const best = answer?.bestMatch.slice(0, k) ?? [];
  const shown = new Set(ranking.map(({ item }) => item));
  const bestPlaces = new Map((answer?.bestMatch ?? []).map(({ item }, place) => [item, place + 1]));
  const next = answer?.question.next ?? -1;
  return (
    <section aria-labelledby="recommendations-title">
      <h2 id="recommendations-title">Recommendations</h2>
      <Controls {...{ data, controls, change, diverse }} />
      {next >= 0 && <Next {...{ data, answer, compared, bestPlaces }} />}
      <div class="rankings">
        <div>
          <h3 id="ranking-title">{heading}</h3>
          <Ranking {...{ entries: ranking, next, titleOf }} labelledby="ranking-title">
            {({ item, interest }, place) => (
              <>
                {compared && <Moved from={bestPlaces.get(item)} to={place} />}
                {interest >= 0 && interests[interest] && (
                  <Reason interest={interests[interest]} titleOf={titleOf} several={about.interests > 1} />
                )}
              </>
            )}
          </Ranking>
          {answer && ranking.length < k && (
            <p class="quiet">No more items are left{controls.categories.size > 0 && " in these categories"}.</p>
          )}
        </div>
        {compared && (
          <div>
            <h3 id="best-title">By the best match, ComiRec’s way</h3>
            <Ranking {...{ entries: best, next, titleOf }} kind="best" labelledby="best-title">
              {({ item, interest }) => (
                <>
                  <span class="moved">{!shown.has(item) && <strong>only here</strong>}</span>
                  <span class="reason">
                    <Badge number={interest} />
                  </span>
                </>
              )}
            </Ranking>
          </div>
        )}
      </div>
    </section>
  );
}

/** `children` says what stands beside an entry's title, by the entry and its place. */
function Ranking({ entries, next, titleOf, kind = "", labelledby, children }) {
  return (
    <ol class={`ranking ${kind}`} aria-labelledby={labelledby}>
      {entries.map((entry, index) => (
        <li key={entry.item} class={entry.item === next ? "next" : ""}>
          <span class="place">{index + 1}</span>
          <span class="title">
            {titleOf(entry.item)}
            {entry.item === next && <em> came next</em>}
          </span>
          {children(entry, index + 1)}
        </li>
      ))}
    </ol>
  );
}

function Controls({ data, controls, change, diverse }) {
  const { items } = data;
  const { k, diversity, categories } = controls;
  const names = items.categories ?? [];
  const toggled = (category) => {
    const changed = new Set(categories);
    if (!changed.delete(category)) changed.add(category);
    return changed;
  };
  return (
    <div class="controls">
      <label class="slider">
        <span>Items: {k}</span>
        <input type="range" min="5" max="50" step="5" value={k} aria-label="Items in each list" onInput={(event) => change({ k: event.currentTarget.valueAsNumber })} />
      </label>
      {diverse && (
        <label class="slider">
          <span>Diversity: {percent(diversity)}</span>
          <input type="range" min="0" max="1" step="0.05" value={diversity} aria-label="Diversity of categories" aria-valuetext={percent(diversity)} onInput={(event) => change({ diversity: event.currentTarget.valueAsNumber })} />
        </label>
      )}
      {names.length > 0 && (
        <div class="categories">
          <Combobox label="Only from categories" texts={names} choose={(category) => change({ categories: toggled(category) })} />
          <p>
            {[...categories].map((category) => (
              <button key={category} type="button" aria-label={`Not only ${names[category]}`} onClick={() => change({ categories: toggled(category) })}>
                {names[category]} ×
              </button>
            ))}
          </p>
        </div>
      )}
    </div>
  );
}

/** How many places an item gains or loses against the best match. */
function Moved({ from, to }) {
  if (from === undefined) return <span class="moved"><strong>only here</strong></span>;
  if (from === to) return <span class="moved" aria-label="at the same place as by the best match">=</span>;
  const by = Math.abs(from - to);
  const told = `${by} ${by === 1 ? "place" : "places"} ${from > to ? "higher" : "lower"} than by the best match`;
  return (
    <span class="moved" title={told}>
      <span aria-hidden="true">{from > to ? "▲" : "▼"} {by}</span>
      <span class="hidden">{told}</span>
    </span>
  );
}

function Reason({ interest, titleOf, several }) {
  const [because] = interest.members;
  return (
    <span class="reason">
      {several && (
        <a href={`#interest-${interest.number}`} class="of-interest">
          <Badge number={interest.number} /> {nameOf(interest)}
        </a>
      )}
      {because && (
        <span>
          because of <a href={`#history-${because.position}`}>{titleOf(because.item)}</a>
        </span>
      )}
    </span>
  );
}

function Next({ data, answer, compared, bestPlaces }) {
  const { next } = answer.question;
  const place = answer.ranking.findIndex(({ item }) => item === next) + 1;
  const told = (place) => (place ? `place ${place}` : `not among the first ${answer.ranking.length || DEPTH}`);
  return (
    <p class="came-next">
      What came next: <strong>{data.titleOf(next)}</strong>, {told(place)} here
      {compared && <>, {told(bestPlaces.get(next))} by the best match</>}.
    </p>
  );
}

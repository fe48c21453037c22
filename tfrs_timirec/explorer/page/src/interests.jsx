import { letter, percent } from "./history.jsx";

/** So many items are named in a card. */
const MEMBERS = 3;
const NEAREST = 5;
/** An interest can count so many times as much as the model has it. */
const MOST = 3;

/** The interests: what makes each, what is near it, what it weighs, and what it is to weigh. */
export function Interests({ data, interests, answer, controls, change }) {
  const { titleOf, about } = data;
  const several = about.interests > 1;
  const predicted = about.queries < about.interests;
  const { gains } = controls;
  const set = (number, gain) => {
    const changed = gains.map((g, i) => (i === number ? gain : g));
    // Something must weigh something.
    if (changed.some(Boolean)) change({ gains: changed });
  };
  const touched = gains.some((gain) => gain !== 1);
  const known = answer?.question.history.length > 0;
  return (
    <section aria-labelledby="interests-title">
      <div class="heading">
        <h2 id="interests-title">{several ? `${about.interests} interests` : "One interest"}</h2>
        <button type="button" hidden={!touched} onClick={() => change({ gains: gains.map(() => 1) })}>
          {predicted ? "As predicted" : "As they are"}
        </button>
      </div>
      {!several && <p class="quiet">This system makes one vector of a history: there is nothing to weigh.</p>}
      <div class="cards">
        {known && interests.map((interest) => (
          <article key={interest.number} id={`interest-${interest.number}`} tabindex={-1} data-interest={interest.number % 8}>
            <h3>
              {several && <Badge number={interest.number} />}
              {nameOf(interest, several)}
            </h3>
            {several && (
              <>
                <p class="weight">
                  <span class="bar" aria-hidden="true">
                    <i style={{ width: `${100 * interest.weight}%` }} />
                    <b style={{ left: `${100 * interest.predicted}%` }} />
                  </span>
                  <span class="figure">{percent(interest.weight)}</span>
                </p>
                <label class="slider">
                  <span>{told(interest, gains, predicted)}</span>
                  <input
                    type="range"
                    min="0"
                    max={MOST}
                    step="0.1"
                    value={gains[interest.number]}
                    aria-label={`Weight of interest ${interest.letter}`}
                    aria-valuetext={`${gains[interest.number]} times as predicted`}
                    onInput={(event) => set(interest.number, event.currentTarget.valueAsNumber)}
                  />
                </label>
              </>
            )}
            <h4>Comes from</h4>
            <ul>
              {interest.members.slice(0, MEMBERS).map(({ item, position, share }) => (
                <li key={position}>
                  <a href={`#history-${position}`}>{titleOf(item)}</a> <small>{percent(share)}</small>
                </li>
              ))}
            </ul>
            <h4>Nearest</h4>
            <ul>
              {interest.nearest.slice(0, NEAREST).map(({ item }) => (
                <li key={item}>{titleOf(item)}</li>
              ))}
            </ul>
          </article>
        ))}
      </div>
    </section>
  );
}

function told({ number, predicted: weight }, gains, predicted) {
  if (gains[number] === 1) return predicted ? "as predicted" : "as it is";
  return `${predicted ? "predicted" : "was"} ${percent(weight)}, × ${gains[number].toFixed(1)}`;
}

export function Badge({ number }) {
  return (
    <span class="badge" data-interest={number % 8}>
      {letter(number)}
    </span>
  );
}

export const nameOf = ({ terms, letter }, several = true) =>
  terms.length ? terms.join(", ") : several ? `Interest ${letter}` : "All of the history";

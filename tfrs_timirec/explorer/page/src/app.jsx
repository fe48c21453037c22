import { useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { answerOf } from "./answer.js";
import { History } from "./history.jsx";
import { Interests } from "./interests.jsx";
import { ItemMap } from "./map.jsx";
import { nameOf } from "./names.js";
import { Quality } from "./quality.jsx";
import { Recommendations } from "./recommendations.jsx";
import { Server } from "./server.js";
import { useHealth } from "./health.js";

/** So many of the items nearest to an interest give it its name, but no more than a tenth of all. */
const NAMED_BY = 30;

export function App({ data }) {
  const { about, users } = data;
  const server = useMemo(() => new Server(about.model), []);
  const [user, setUser] = useState(() => userOf(data, Math.floor(Math.random() * users.ids.length)));
  const [controls, setControls] = useState(() => untouched(about));
  const question = useMemo(() => ({ ...user, ...controls }), [user, controls]);
  const health = useHealth(server, data);
  const [answer, error] = useAnswer(question, server, data, health.epoch);
  const interests = useMemo(() => named(answer, data), [answer]);
  const change = (changes) => setControls((controls) => ({ ...controls, ...changes }));
  const choose = (number) => {
    setUser(userOf(data, number));
    change({ gains: untouched(about).gains });
  };
  const trouble = health.trouble ?? error;

  return (
    <>
      <header>
        <h1>{about.system}</h1>
        <p>
          {about.source}: {about.users.toLocaleString("en")} users, {about.items.toLocaleString("en")} items
        </p>
        <p class="state" data-state={trouble ? "trouble" : "ready"}>
          {trouble ? "Server: trouble" : health.version ? `Server: version ${health.version}` : "Server: …"}
        </p>
      </header>
      {about.trouble && <p class="notice">{about.trouble} Items are shown by their ids.</p>}
      <div role="alert">{trouble && <p class="notice">{trouble}</p>}</div>
      <main aria-busy={!trouble && answer?.question !== question}>
        <History {...{ data, user, setUser, choose, answer }} />
        <div class="results">
          <Interests {...{ data, interests, answer, controls, change }} />
          <Recommendations {...{ data, interests, answer, controls, change }} diverse={health.diverse} />
        </div>
        <ItemMap {...{ data, interests, answer, controls, change }} add={(item) => setUser(withItem(user, item))} />
        <Quality data={data} />
      </main>
    </>
  );
}

export const untouched = (about) => ({
  gains: Array(about.interests).fill(1),
  diversity: 0,
  k: 10,
  categories: new Set(),
  map: "tsne",
});

function userOf({ about, users }, number) {
  const history = users.histories[number];
  const begin = Math.max(0, history.length - about.history_length);
  return {
    number,
    history: history.slice(begin),
    times: users.times?.[number].slice(begin) ?? [],
    // The model reads no more, but nobody is recommended what he has had.
    seen: history.slice(0, begin),
    next: users.next[number],
  };
}

/** The user with another newest item, of whom it is not known any more what came next. */
export function withItem(user, item) {
  const times = [...user.times, user.times.at(-1) ?? 0];
  return { ...user, number: null, next: -1, history: [...user.history, item], times };
}

/**
 * The answer to the newest question. One is asked at a time: while a slider moves, each answer is
 * shown, and the next question is the one of that moment.
 */
function useAnswer(question, server, data, epoch) {
  const [state, setState] = useState([null, null]);
  const newest = useRef();
  const busy = useRef(false);
  // Not after the next frame, as another effect would be.
  useLayoutEffect(() => {
    newest.current = { question };
    if (busy.current) return;
    (async () => {
      busy.current = true;
      let asked;
      do {
        asked = newest.current;
        try {
          const answer = await answerOf(asked.question, server, data);
          setState([answer, null]);
        } catch (error) {
          setState(([answer]) => [answer, error.message]);
        }
      } while (asked !== newest.current);
      busy.current = false;
    })();
  }, [question, epoch]);
  return state;
}

function named(answer, data) {
  if (!answer) return [];
  return answer.interests.map((interest) => {
    const { history } = answer.question;
    const members = history.map((item, position) => ({ item, position, share: interest.shares[position] }));
    members.sort((a, b) => b.share - a.share);
    const weighty = members.filter(({ share }) => share > 1 / history.length).map(({ item }) => item);
    const count = Math.min(NAMED_BY, Math.ceil(data.items.ids.length / 10));
    const near = interest.nearest.slice(0, count).map(({ item }) => item);
    return {
      ...interest,
      letter: String.fromCharCode(65 + interest.number),
      members,
      terms: nameOf([...weighty, ...near], data.terms),
    };
  });
}

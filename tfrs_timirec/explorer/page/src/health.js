// Whether the server answers, and with the model that the files were made of.
import { useEffect, useState } from "preact/hooks";

const EVERY = 2000;
const ALIKE = 1e-3;

/** `trouble`, a sentence or null; `version`; `diverse`, whether the model has the signature;
 * `epoch`, another number whenever the server is back or has another version. */
export function useHealth(server, { about }) {
  const [health, setHealth] = useState({ trouble: null, version: null, diverse: false, epoch: 0 });
  useEffect(() => {
    let known = null;
    let timer;
    const look = async () => {
      try {
        const version = await server.version();
        if (version !== known) {
          const signatures = await server.signatures();
          const trouble = await mismatch(server, about);
          known = version;
          setHealth(({ epoch }) => ({
            trouble,
            version,
            diverse: signatures.includes("diverse"),
            epoch: epoch + 1,
          }));
        }
      } catch (error) {
        known = null;
        const back = error.away ? " The page goes on by itself once it is back." : "";
        setHealth((health) => ({ ...health, trouble: error.message + back }));
      }
      timer = setTimeout(look, EVERY);
    };
    look();
    return () => clearTimeout(timer);
  }, []);
  return health;
}

/** A sentence if the server has another model than the one that the files were made of. */
async function mismatch(server, { probe, reads_times: timed }) {
  const other =
    "The server has another model than the one that this page was made of, perhaps a newer version: " +
    "start the explorer again with that model.";
  const times = { times: [probe.history.map((_, i) => i)] };
  const answer = await server.predict("user_vectors", { history: [probe.history], ...(timed && times) });
  if (!answer.interests) return other;
  const [weights] = answer.interest_weights;
  const alike = weights.length === probe.weights.length && weights.every((w, i) => Math.abs(w - probe.weights[i]) < ALIKE);
  return alike ? null : other;
}

// The question that the page asks of the model, and what it makes of the answer.

/** So many items of each list are asked for, however few are shown. */
export const DEPTH = 100;

/**
 * All that the page shows of a user.
 *
 * One request has several rows with the same history: first with the weights that the interests
 * have on the page, then each interest alone, whose best items are the nearest to it, and, where the
 * weights are not those that the model predicts, with those. The best items of the interests are
 * what the best-matching one would recommend: the highest score that any of them gives. Only the
 * map by PCA needs the vectors, for which there is another request.
 */
export async function answerOf(question, server, data) {
  const { about, items } = data;
  const { history, times, seen, gains, diversity, k, categories, map } = question;
  const count = about.interests;
  const alone = Array.from({ length: count }, (_, i) => gains.map((_, j) => Number(i === j)));
  const predicted = gains.map(() => 1);
  const touched = gains.some((gain) => gain !== 1);
  const rows = count > 1 ? [gains, ...alone, ...(touched ? [predicted] : [])] : [gains];
  const ids = history.length ? history.map((item) => items.ids[item]) : [about.padding];
  const chosen = categories.size ? inCategories(items, categories) : [];
  const user = { history: [ids], ...(about.reads_times && { times: [times.length ? times : [0]] }) };
  const repeated = Object.fromEntries(Object.entries(user).map(([n, [v]]) => [n, rows.map(() => v)]));
  const depth = Math.min(DEPTH, items.ids.length);
  const inputs = {
    ...repeated,
    k: rows.map((_, row) => (diversity && !row ? k : depth)),
    exclude: [seen.length ? seen.map((item) => items.ids[item]) : [about.padding]],
    among: [chosen.length ? chosen : [about.padding]],
    interest_weights: rows,
    ...(diversity && { diversity: rows.map((_, row) => (row ? 0 : diversity * lambda(about))) }),
  };
  const [lists, vectors] = await Promise.all([
    server.predict(diversity ? "diverse" : "explain", inputs),
    map === "pca" ? server.predict("user_vectors", user) : null,
  ]);
  const found = lists.item_ids.map((row, i) => listed(row, lists.scores[i], data));
  const ranking = found[0];
  const nearest = found.slice(1, 1 + alone.length);
  ranking.forEach((entry, place) => (entry.interest = lists.item_interests[0][place]));
  const attention = lists.attention[0];
  const interests = Array.from({ length: count }, (_, i) => ({
    number: i,
    predicted: lists.interest_weights.at(touched ? -1 : 0)[i],
    weight: lists.interest_weights[0][i],
    vector: vectors?.interests[0][i],
    shares: history.map((_, position) => attention[position][i]),
    nearest: nearest[i] ?? ranking,
  }));
  return { question, ranking, interests, bestMatch: bestMatch(nearest) };
}

/** The λ of the most diverse set: among the candidates, categories count as much as scores. */
const lambda = ({ spread }) => spread / 5;

function listed(ids, scores, { placeOf }) {
  return ids
    .map((id, place) => ({ item: placeOf.get(id), score: scores[place] }))
    .filter(({ item, score }) => item !== undefined && Number.isFinite(score));
}

/** The items by the highest of their scores, and the interest that it is of. */
function bestMatch(nearest) {
  const best = new Map();
  nearest.forEach((list, interest) => {
    for (const { item, score } of list) {
      if (!(best.get(item)?.score >= score)) best.set(item, { item, score, interest });
    }
  });
  return [...best.values()].sort((a, b) => b.score - a.score).slice(0, DEPTH);
}

function inCategories(items, chosen) {
  return items.ids.filter((_, item) => items.of[item].some((category) => chosen.has(category)));
}

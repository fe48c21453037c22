// What an interest is about: the categories, or the words of titles, that its items have more often.

/** Words of a title; a number or a letter alone says nothing. */
const words = (title) => title.toLowerCase().match(/\p{L}[\p{L}\p{N}'’-]+/gu) ?? [];

/** Below this z-score a term may be there by chance. */
const SURE = 1.64;
/** The catalogue counts as so many items of what is expected of an interest. */
const PRIOR = 10;

/** The terms of each item, and how many items have each term. */
export function termsOf(items) {
  const of = items.categories
    ? items.of.map((places) => places.map((place) => items.categories[place]))
    : (items.titles ?? []).map((title) => [...new Set(words(title))].filter((w) => w.length > 2));
  const counts = new Map();
  for (const terms of of) for (const term of terms) counts.set(term, (counts.get(term) ?? 0) + 1);
  return { of, counts, total: of.length };
}

/**
 * The one or two most over-represented terms of some items, by the z-score of the log-odds ratio
 * with the catalogue as the prior (Monroe, Colaresi and Quinn, "Fightin' Words", 2008, eq. 22).
 */
export function nameOf(chosen, { of, counts, total }) {
  const within = new Map();
  for (const item of chosen) {
    for (const term of of[item] ?? []) within.set(term, (within.get(term) ?? 0) + 1);
  }
  const n = chosen.length;
  const scored = [...within].map(([term, count]) => {
    const prior = (PRIOR * counts.get(term)) / total;
    const inside = count + prior;
    const outside = counts.get(term) - count + prior;
    const odds = Math.log(inside / (n + PRIOR - inside)) - Math.log(outside / (total - n + PRIOR - outside));
    return { term, z: odds / Math.sqrt(1 / inside + 1 / outside), count };
  });
  return scored
    .filter(({ z, count }) => z > SURE && count > 1)
    .sort((a, b) => b.z - a.z || (a.term < b.term ? -1 : 1))
    .slice(0, 2)
    .map(({ term }) => term);
}

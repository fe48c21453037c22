import { useId, useMemo, useRef, useState } from "preact/hooks";

/** So many matches are shown. */
const SHOWN = 50;

/**
 * A field that searches as one types, after the combobox pattern of the ARIA Authoring Practices.
 * `texts` are what is searched, `choose` is called with the place of the one chosen, `order` says
 * in which order matches come.
 */
export function Combobox({ label, texts, choose, order, note }) {
  const [typed, setTyped] = useState("");
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(0);
  const id = useId();
  const list = useRef();
  const lower = useMemo(() => texts.map((text) => text.toLowerCase()), [texts]);
  const ordered = useMemo(() => order ?? texts.map((_, place) => place), [texts, order]);
  const matches = useMemo(() => (open ? found(typed, lower, ordered) : []), [open, typed, lower]);
  const option = (place) => `${id}-${place}`;

  const move = (place) => {
    setActive(place);
    list.current?.children[place]?.scrollIntoView({ block: "nearest" });
  };
  const take = (match) => {
    choose(match);
    setTyped("");
    setOpen(false);
  };
  const onKeyDown = (event) => {
    const { key } = event;
    if (key === "ArrowDown" || key === "ArrowUp") {
      event.preventDefault();
      if (!open) return setOpen(true);
      const step = key === "ArrowDown" ? 1 : matches.length - 1;
      move((active + step) % Math.max(1, matches.length));
    } else if (key === "Enter" && open && matches[active] !== undefined) {
      event.preventDefault();
      take(matches[active]);
    } else if (key === "Escape") {
      setOpen(false);
      setTyped("");
    }
  };

  return (
    <div class="combobox">
      <label for={id}>{label}</label>
      <input
        id={id}
        role="combobox"
        type="text"
        autocomplete="off"
        spellcheck={false}
        placeholder="Search"
        aria-expanded={open}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={open && matches.length ? option(active) : undefined}
        value={typed}
        onInput={(event) => {
          setTyped(event.currentTarget.value);
          setActive(0);
          setOpen(true);
        }}
        onKeyDown={onKeyDown}
        onClick={() => setOpen(true)}
        onBlur={() => setOpen(false)}
      />
      <ul id={`${id}-list`} role="listbox" aria-label={label} ref={list} hidden={!open || !matches.length}>
        {matches.map((match, place) => (
          <li
            key={match}
            id={option(place)}
            role="option"
            aria-selected={place === active}
            // The field keeps the focus.
            onMouseDown={(event) => event.preventDefault()}
            onClick={() => take(match)}
          >
            <span>{texts[match]}</span>
            {note && <small>{note(match)}</small>}
          </li>
        ))}
      </ul>
      {open && typed && !matches.length && <p class="none" role="status">Nothing matches.</p>}
    </div>
  );
}

/** The places of texts that contain every word typed; first the one that is what was typed. */
function found(typed, lower, ordered) {
  const text = typed.toLowerCase().trim();
  const words = text.split(/\s+/);
  const same = lower.indexOf(text);
  const matches = same < 0 ? [] : [same];
  for (const place of ordered) {
    if (place !== same && words.every((word) => lower[place].includes(word))) matches.push(place);
    if (matches.length === SHOWN) break;
  }
  return matches;
}

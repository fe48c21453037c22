/** The model at a glance: what its interests are worth. */
export function Quality({ data }) {
  const { quality, about } = data;
  const { hit_rates: rates, calibration, metrics } = quality;
  return (
    <section class="quality" aria-labelledby="quality-title">
      <h2 id="quality-title">Model quality</h2>
      {!rates && <p class="quiet">Nothing was held out of this training, so that nothing can be said of it.</p>}
      {rates && (
        <>
          <p class="quiet">
            Of {quality.targets.toLocaleString("en")} test targets, each in the whole catalogue.
          </p>
          <h3>HR@10</h3>
          <dl class="bars">
            <Bar name="The model" value={rates.model} most={rates.oracle} />
            {about.queries < about.interests && <Bar name="Best match" value={rates["best match"]} most={rates.oracle} />}
            {about.interests > 1 && <Bar name="Oracle: the best interest known" value={rates.oracle} most={rates.oracle} />}
          </dl>
          {about.interests > 1 && (
            <dl class="figures">
              <Figure name="different interests a user" value={`${quality.effective.toFixed(2)} of ${about.interests}`} />
              <Figure name="users with two that have collapsed into one" value={share(quality.collapsed)} />
              {"in play" in quality && <Figure name="interests that have a say" value={quality["in play"].toFixed(2)} />}
            </dl>
          )}
          {calibration && <Calibration {...calibration} />}
          {metrics.test && <Metrics test={metrics.test} />}
        </>
      )}
    </section>
  );
}

const share = (value) => `${(100 * value).toFixed(1)} %`;

function Bar({ name, value, most }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <span class="bar" aria-hidden="true"><i style={{ width: `${(100 * value) / (most || 1)}%` }} /></span>
        <span class="figure">{value.toFixed(4)}</span>
      </dd>
    </div>
  );
}

function Figure({ name, value }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

const SIZE = 180;

/** How often the interest that the predictor holds the most probable is the one, by how sure it is. */
function Calibration({ weights, taught, bins }) {
  const at = (value) => value * SIZE;
  const most = Math.max(...bins.map(({ count }) => count));
  const told = bins
    .map(({ confidence, accuracy, count }) => `sure to ${share(confidence)}, right in ${share(accuracy)} of ${count}`)
    .join("; ");
  return (
    <>
      <h3>Calibration of the predictor</h3>
      <div class="calibration">
        <svg viewBox={`-40 -6 ${SIZE + 50} ${SIZE + 42}`} role="img" aria-label={`Reliability: ${told}`}>
          <path d={`M0,0V${SIZE}H${SIZE}`} class="axis" />
          <path d={`M0,${SIZE}L${SIZE},0`} class="ideal" />
          {bins.map(({ confidence, accuracy, count }) => (
            <circle key={confidence} cx={at(confidence)} cy={SIZE - at(accuracy)} r={2 + 6 * Math.sqrt(count / most)} />
          ))}
          {[0, 0.5, 1].map((tick) => (
            <g key={tick}>
              <text x={at(tick)} y={SIZE + 14} text-anchor="middle">{tick}</text>
              <text x={-6} y={SIZE - at(tick) + 4} text-anchor="end">{tick}</text>
            </g>
          ))}
          <text x={SIZE / 2} y={SIZE + 30} text-anchor="middle">how sure</text>
          <text x={-28} y={SIZE / 2} text-anchor="middle" transform={`rotate(-90 -28 ${SIZE / 2})`}>how often right</text>
        </svg>
        <dl class="figures">
          <Figure name="expected calibration error of the weights" value={weights.toFixed(3)} />
          <Figure name="the same at the temperature that it was taught at" value={taught.toFixed(3)} />
        </dl>
      </div>
    </>
  );
}

function Metrics({ test }) {
  const systems = Object.keys(test);
  const protocols = { sampled: "among the negatives", full: "whole catalogue" };
  const names = Object.keys(test[systems[0]].full);
  return (
    <details>
      <summary>Metrics of the run</summary>
      <div class="scrolled" tabindex={0} role="region" aria-label="Metrics of the run">
        <table>
          <thead>
            <tr>
              <th scope="col">System</th>
              <th scope="col">Target</th>
              {names.map((name) => <th key={name} scope="col">{name}</th>)}
            </tr>
          </thead>
          <tbody>
            {systems.flatMap((system) =>
              Object.entries(protocols).map(([protocol, told]) => (
                <tr key={system + protocol}>
                  <th scope="row">{system}</th>
                  <td>{told}</td>
                  {names.map((name) => <td key={name}>{test[system][protocol][name].toFixed(4)}</td>)}
                </tr>
              )),
            )}
          </tbody>
        </table>
      </div>
    </details>
  );
}

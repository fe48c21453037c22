// A model on a server of TF-Serving's REST, as its protocol is documented:
// https://www.tensorflow.org/tfx/serving/api_rest

/** Told in a sentence; `away` where there is nobody to tell it. */
export class ServerError extends Error {
  constructor(message, away) {
    super(message);
    this.away = away;
  }
}

export class Server {
  /** @param {string} model The model's name. */
  constructor(model) {
    this.url = `v1/models/${model}`;
  }

  /** The outputs of a signature, by name. */
  async predict(signature, inputs) {
    const body = JSON.stringify({ signature_name: signature, inputs });
    const { outputs } = await this.ask(":predict", { method: "POST", body });
    return outputs;
  }

  /** The number of the version that answers. */
  async version() {
    const { model_version_status: versions } = await this.ask("");
    const answering = versions.filter(({ state }) => state === "AVAILABLE");
    if (!answering.length) {
      throw new ServerError("The server has the model, but no version of it answers yet.", true);
    }
    return Math.max(...answering.map(({ version }) => Number(version)));
  }

  /** The names of the signatures. */
  async signatures() {
    const { metadata } = await this.ask("/metadata");
    return Object.keys(metadata.signature_def.signature_def);
  }

  async ask(path, options) {
    let response, text;
    try {
      response = await fetch(this.url + path, options);
      text = await response.text();
    } catch {
      throw new ServerError("The explorer has ended: start it again.", true);
    }
    if (response.status === 502 || response.status === 503) {
      throw new ServerError("The server of the model does not answer.", true);
    }
    let answer;
    try {
      answer = parsed(text);
    } catch {
      throw new ServerError(`The server's answer is no JSON (status ${response.status}).`);
    }
    if (!response.ok) {
      throw new ServerError(`The server refuses: ${answer.error ?? `status ${response.status}`}`);
    }
    return answer;
  }
}

// TF-Serving writes numbers that JSON does not have as they are; in a text they are text.
const OUTSIDE_OF_JSON = /"(?:[^"\\]|\\.)*"|-?\b(?:Infinity|NaN)\b/g;

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return JSON.parse(text.replace(OUTSIDE_OF_JSON, (found) => (found[0] === '"' ? found : "null")));
  }
}

// What a Dockerfile says about the running container.

/** Reads the last stage: its commands as arrays, and its user. */
export function dockerfile(text) {
  const instructions = text.replaceAll("\\\n", " ").split("\n").filter((line) => /^[A-Z]+ /.test(line));
  const last = (name) => {
    const line = instructions.findLast((line) => line.startsWith(`${name} `));
    if (line === undefined) throw new Error(`Dockerfile: missing ${name}`);
    return line.slice(name.length).trim();
  };
  const healthcheck = last("HEALTHCHECK");
  return {
    user: last("USER"),
    entrypoint: JSON.parse(last("ENTRYPOINT")),
    command: JSON.parse(last("CMD")),
    healthcheck: JSON.parse(healthcheck.slice(healthcheck.indexOf("CMD ") + 4)),
  };
}

// The least that a proxy can do: one fetch, and one header of its own in the response.
const SERVER = "https://service-primary.example.com";

export default {
  async fetch(request) {
    const url = new URL(request.url);
    const response = await fetch(new Request(SERVER + url.pathname + url.search, request));
    const stamped = new Response(response.body, response);
    stamped.headers.set("X-Served-By", "primary");
    return stamped;
  },
};

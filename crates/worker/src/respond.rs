//! What the client gets.

use tunnel_balancer_core::{Admitted, Forwarded, Problem, Server, ServerId, headers, rewrite};
use worker::wasm_bindgen::JsCast;
use worker::{Result, web_sys};

/// The answer to a request that was forwarded.
pub(crate) fn with(
    forwarded: Forwarded<web_sys::Response>,
    admitted: Admitted<'_, '_>,
    sticky: Option<ServerId>,
) -> Result<web_sys::Response> {
    let response = match forwarded.answer {
        Ok(response) => response,
        Err(problem) => return with_problem(problem),
    };
    let Some(id) = forwarded.served_by else { return Ok(response) };
    let Some(server) = admitted.pool.service().server(id) else { return Ok(response) };
    let cookie = admitted.pool.keep(id, sticky, admitted.scheme == "https");
    stamp(&response, server, admitted, forwarded.fallback, cookie.as_deref()).or(Ok(response))
}

/// An answer of our own.
pub(crate) fn with_problem(problem: Problem) -> Result<web_sys::Response> {
    let init = web_sys::ResponseInit::new();
    init.set_status(problem.status().as_u16());
    let response = web_sys::Response::new_with_opt_str_and_init(Some(problem.text()), &init)?;
    let headers = response.headers();
    headers.set("content-type", "text/plain; charset=utf-8")?;
    headers.set("cache-control", "no-store")?;
    headers.set(headers::SERVED_BY, headers::SERVED_BY_US)?;
    if let Some(seconds) = problem.retry_after() {
        headers.set("retry-after", &seconds.to_string())?;
    }
    Ok(response)
}

/// A copy of `response` with our headers: status, status text, headers and body stream stay what they are.
///
/// # Errors
/// When the runtime has no way to copy it: a 101 belongs to its socket, and statuses outside 200-599 have no constructor.
/// The client then gets the response itself. **Whatever happens here, the server has answered: nothing is sent again.**
fn stamp(
    response: &web_sys::Response,
    server: &Server,
    admitted: Admitted<'_, '_>,
    fallback: bool,
    cookie: Option<&str>,
) -> Result<web_sys::Response> {
    let service = admitted.pool.service();
    if response.status() == 101 {
        return Err("an upgraded connection cannot be copied".into());
    }
    let init: &web_sys::ResponseInit = response.unchecked_ref();
    let copy = web_sys::Response::new_with_opt_readable_stream_and_init(response.body().as_ref(), init)?;
    let headers = copy.headers();
    if service.served_by {
        headers.set(headers::SERVED_BY, &server.name)?;
    } else {
        headers.delete(headers::SERVED_BY)?;
    }
    if fallback {
        headers.set(headers::BALANCER, "fallback")?;
    } else {
        headers.delete(headers::BALANCER)?;
    }
    for name in rewrite::LOCATION_HEADERS {
        let Some(value) = headers.get(name)? else { continue };
        let public = rewrite::location(&value, &server.url, service, admitted.scheme, admitted.authority);
        public.map_or(Ok(()), |public| headers.set(name, &public))?;
    }
    rewrite_cookies(&headers, server, admitted)?;
    cookie.map_or(Ok(()), |cookie| headers.append("set-cookie", cookie))?;
    Ok(copy)
}

/// Cookies are written anew only when one of them changes, each as a header of its own.
fn rewrite_cookies(headers: &web_sys::Headers, server: &Server, admitted: Admitted<'_, '_>) -> Result<()> {
    if !headers.has("set-cookie")? {
        return Ok(());
    }
    let service = admitted.pool.service();
    let cookies = worker::Headers(headers.clone()).get_all("set-cookie")?;
    let public = |cookie: &String| rewrite::set_cookie(cookie, &server.url, service, admitted.authority);
    let rewritten: Vec<Option<String>> = cookies.iter().map(public).collect();
    if rewritten.iter().all(Option::is_none) {
        return Ok(());
    }
    headers.delete("set-cookie")?;
    for (cookie, public) in cookies.into_iter().zip(rewritten) {
        headers.append("set-cookie", &public.unwrap_or(cookie))?;
    }
    Ok(())
}

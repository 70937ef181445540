"""Every path of the pages, who may open it, and how a view's data becomes a page or its `.json` twin."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from mooring.core import ids
from mooring.core.errors import MooringError, NotAuthenticated, NotFound, Unavailable
from mooring.gateway.keys import Caller
from mooring.wiring import Server

from ..errors import reply_for
from ..exchange import Exchange, Reply, json_reply
from ..following import follow
from ..server import Handle, Route
from . import ask, asking, calls, documents, home, keys, models, runs, tour, traces
from .keys import Show
from .render import HEADERS, STATIC, Renderer, html_reply, redirect
from .session import Sessions, SignedOut, form, own_path, require_own_origin, spend

View = Callable[[Server, Exchange, Caller], Awaitable[dict[str, Any]]]
Write = Callable[[Server, Exchange, Caller], Awaitable[str | Show]]


class Page(NamedTuple):
    """A view with its path, template and section of the navigation."""

    path: str
    template: str
    section: str
    view: View


class Form(NamedTuple):
    """A POST that does something and says which page comes next, or shows it."""

    path: str
    access: str
    write: Write


PAGES = (
    Page("/ui/home", "home.html", "home", home.view),
    Page("/ui/ask", "ask.html", "ask", ask.view),
    Page("/ui/ask/{trace_id}", "ask.html", "ask", ask.view_answer),
    Page("/ui/runs", "runs.html", "runs", runs.view),
    Page("/ui/runs/{run_id}", "run.html", "runs", runs.view_run),
    Page("/ui/calls", "calls.html", "runs", calls.view_list),
    Page("/ui/calls/{call_id}", "call.html", "runs", calls.view),
    Page("/ui/traces", "traces.html", "runs", traces.view_list),
    Page("/ui/traces/{id}", "trace.html", "runs", traces.view),
    Page("/ui/models", "models.html", "models", models.view),
    Page("/ui/keys", "keys.html", "keys", keys.view),
    Page("/ui/tour", "tour.html", "home", tour.view),
    Page("/ui/documents", "documents.html", "documents", documents.view),
    Page("/ui/documents/{document_id}", "document.html", "documents", documents.view_document),
)
FORMS = (
    Form("/ui/ask", "call", ask.post),
    Form("/ui/runs/{run_id}/cancel", "write", runs.cancel),
    Form("/ui/runs/{run_id}/resume", "write", runs.resume),
    Form("/ui/calls/{call_id}/resolve", "write", calls.resolve),
    Form("/ui/keys", "admin", keys.create),
    Form("/ui/keys/{key_id}/rotate", "admin", keys.rotate),
    Form("/ui/keys/{key_id}/revoke", "admin", keys.revoke),
    Form("/ui/budgets", "admin", keys.put_budget),
    Form("/ui/budgets/remove", "admin", keys.remove_budget),
)


def routes(rooms: Server) -> list[Route]:
    """All of them. They are `public` to the server because the session, not a key in a header, opens them."""
    site = Site(rooms)
    return [
        Route("GET", "/", "public", site.to_home),
        Route("GET", "/ui", "public", site.to_home),
        Route("GET", "/ui/", "public", site.to_home),
        Route("GET", "/ui/login", "public", site.login_page),
        Route("POST", "/ui/login", "public", site.login),
        Route("POST", "/ui/logout", "public", site.logout),
        Route("GET", "/ui/static/{name}", "public", site.static),
        Route("GET", "/ui/runs/{run_id}/events", "public", site.guarded("read", site.events)),
        Route("POST", "/ui/ask/stream", "public", site.guarded("call", site.asking)),
        *(Route("GET", page.path + ".json", "public", site.twin(page)) for page in PAGES),
        *(Route("GET", page.path, "public", site.page(page)) for page in PAGES),
        *(Route("POST", form.path, "public", site.form(form)) for form in FORMS),
        Route("GET", "/ui/{rest:path}", "public", site.missing),
    ]


class Site:
    """The pages over one process's rooms."""

    def __init__(self, rooms: Server) -> None:
        self._rooms = rooms
        self._sessions = Sessions(rooms)
        self._renderer = Renderer(rooms.version)

    def page(self, page: Page) -> Handle:
        async def handle(exchange: Exchange) -> Reply:
            try:
                data = await page.view(self._rooms, exchange, await self._caller(exchange, "read"))
            except SignedOut as error:
                return self._login(error=str(error), status=401)
            except MooringError as error:
                return self._error(error, section=page.section)
            return html_reply(self._render(page.template, data, section=page.section, twin=_twin(exchange)))

        return handle

    def twin(self, page: Page) -> Handle:
        async def read(exchange: Exchange, caller: Caller) -> Reply:
            return json_reply(await page.view(self._rooms, exchange, caller), headers=list(HEADERS))

        return self.guarded("read", read)

    def form(self, form: Form) -> Handle:
        async def handle(exchange: Exchange) -> Reply:
            try:
                require_own_origin(exchange)
                caller = await self._caller(exchange, form.access)
                done = await form.write(self._rooms, exchange, caller)
                if isinstance(done, str):
                    return redirect(done)
                return html_reply(self._render(done.template, done.data, section=done.section, twin=None))
            except SignedOut as error:
                return self._login(error=str(error), status=401)
            except MooringError as error:
                return self._error(error, section="")

        return handle

    def guarded(self, access: str, read: Callable[[Exchange, Caller], Awaitable[Reply]]) -> Handle:
        """For programs: errors are JSON."""

        async def handle(exchange: Exchange) -> Reply:
            try:
                return await read(exchange, await self._caller(exchange, access))
            except MooringError as error:
                return reply_for(error, exchange, self._rooms.redactor)

        return handle

    async def _caller(self, exchange: Exchange, access: str) -> Caller:
        if self._rooms.is_draining:
            raise Unavailable("This server is shutting down.", hint="Load the page again in a moment.")
        return await self._sessions.caller(exchange, access)

    async def events(self, exchange: Exchange, caller: Caller) -> Reply:
        """The run as it happens: the same stream as `/v1/runs/{id}/events`, for a browser with a session."""
        run = await self._rooms.journal.get_run(caller.project_id, ids.read("run", exchange.params["run_id"]))
        after = exchange.header(b"last-event-id") or exchange.query.get("after") or "0"
        exchange.caller = caller
        pieces = follow(self._rooms, exchange, run.id, after=int(after) if after.isdigit() else 0)
        return Reply(200, pieces, "text/event-stream; charset=utf-8", headers=HEADERS[:-1])

    async def asking(self, exchange: Exchange, caller: Caller) -> Reply:
        """The form of Ask, answered as a stream."""
        require_own_origin(exchange)
        return await asking.stream(self._rooms, exchange, caller)

    async def to_home(self, exchange: Exchange) -> Reply:
        return redirect("/ui/home")

    async def missing(self, exchange: Exchange) -> Reply:
        return self._error(NotFound("There is no such page.", hint="Start at Home."), section="")

    async def static(self, exchange: Exchange) -> Reply:
        name = exchange.params["name"]
        if name not in STATIC:
            raise NotFound("There is no such file.")
        kept = [*HEADERS[:-1], (b"cache-control", b"public, max-age=31536000, immutable")]
        return Reply(200, self._renderer.static[name], STATIC[name], kept)

    # signing in -----------------------------------------------------------------------------------------------------

    async def login_page(self, exchange: Exchange) -> Reply:
        """Only shows a button: whoever fetches the link to preview it spends nothing."""
        return self._login(token=exchange.query.get("token"), to=own_path(exchange.query.get("to")))

    async def login(self, exchange: Exchange) -> Reply:
        try:
            require_own_origin(exchange)
            fields = await form(exchange)
            key = await spend(self._rooms, fields.get("token", ""))
        except NotAuthenticated as error:
            return self._login(error=str(error), status=401)
        except MooringError as error:
            return self._error(error, section="")
        return redirect(own_path(fields.get("to")), [self._sessions.set_cookie(exchange, key)])

    async def logout(self, exchange: Exchange) -> Reply:
        """Ends the session everywhere, not only in this browser."""
        try:
            require_own_origin(exchange)
            caller = await self._sessions.caller(exchange, "read")
            if caller.api_key_id is not None:
                await self._rooms.keys.revoke(caller.project_id, ids.show("key", caller.api_key_id))
        except MooringError as error:
            return self._login(error=str(error), status=401)
        return redirect("/ui/login", [self._sessions.clear_cookie(exchange)])

    # pages without a view -------------------------------------------------------------------------------------------

    def _login(
        self, *, token: str | None = None, error: str | None = None, to: str = "/ui/home", status: int = 200
    ) -> Reply:
        data = {"token": token, "error": error, "to": to}
        return html_reply(self._render("login.html", data, section=None, twin=None), status=status)

    def _error(self, error: MooringError, *, section: str) -> Reply:
        data = {"status": error.status, "code": error.code, "message": self._rooms.redactor(str(error))}
        return html_reply(self._render("error.html", data, section=section, twin=None), status=error.status)

    def _render(self, template: str, data: dict[str, Any], *, section: str | None, twin: str | None) -> str:
        now_us = self._rooms.clock.now_us()
        return self._renderer.page(template, data, section=section, twin=twin, now_us=now_us)


def _twin(exchange: Exchange) -> str:
    query = exchange.query_string.decode("latin-1")
    return f"{exchange.path}.json" + (f"?{query}" if query else "")

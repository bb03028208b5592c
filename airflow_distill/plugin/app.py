"""The JSON that the pages in Airflow read. Built on the first request; imported by nothing else.

Airflow authenticates no route of a mounted app, so each route here names the user and, below a Dag, that Dag as
dependencies. Both are answered before any byte of the bucket is read. GET only, and no GET changes anything; a reveal
of a text leaves its line in Airflow's audit log. What goes wrong with bucket or credentials is a sentence in the answer and
a line in the api-server's log, never a 500. Nothing is read from the metadata database but what Airflow's own access check
reads.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import resources
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from fastapi import Depends, FastAPI, Header, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airflow_distill.errors import DistillError
from airflow_distill.links.switch import SECTION
from airflow_distill.plugin import layout, views
from airflow_distill.plugin.reader import GoodsError, Reader

log = logging.getLogger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
"""On every answer. The answers are data; a browser that opens one as a page runs, loads and frames nothing."""

DagId = Annotated[str, Path(pattern=r"^[\w.-]+$", max_length=250)]
RunId = Annotated[str, Path(pattern=r"^[A-Za-z0-9_.~:+-]+$", max_length=250)]
TaskId = Annotated[str, Path(pattern=r"^[\w.-]+$", max_length=250)]
WorkloadName = Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
WorkloadOf = Annotated[str | None, Query(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")]
ExampleId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
Baseline = Annotated[str | None, Query(pattern=r"^[0-9a-z-]{4,80}$")]

NOTHING_YET = {
    "said": "This Dag run has not told anything about a workload.",
    "do": "Runs tell from their first task on. An older run has no record; run the Dag again, or open its report.",
}


def create_app(connect: Callable[[], Reader]) -> FastAPI:
    """Return the app.

    :param connect: makes the reader; called on the first request that may read, and again while it fails.
    """
    app = FastAPI(title="airflow_distill", openapi_url=None, docs_url=None, redoc_url=None)
    source = _Source(connect)
    see_run = [Depends(requires_access_dag("GET", DagAccessEntity.RUN))]
    see_task = [
        Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE)),
        Depends(requires_access_dag("GET", DagAccessEntity.HITL_DETAIL)),
    ]

    @app.get("/pages.js")
    def pages_js(user: GetUserDep) -> Response:
        text = resources.files("airflow_distill.plugin").joinpath("pages.js").read_bytes()
        return Response(
            text, media_type="text/javascript", headers={"Cache-Control": "private, max-age=3600"}
        )

    @app.get("/api/workloads")
    def workloads(user: GetUserDep) -> Response:
        allowed = get_auth_manager().get_authorized_dag_ids(user=user, method="GET")
        if not allowed:
            return _answer({"workloads": [], "hidden": True})
        return source.answer(lambda reader: views.workload_list(reader, allowed, datetime.now(UTC)))

    @app.get("/api/dags/{dag_id}/workloads/{workload}", dependencies=[Depends(requires_access_dag("GET"))])
    def workload_page(user: GetUserDep, dag_id: DagId, workload: WorkloadName) -> Response:
        return source.answer(
            lambda reader: laid_out(
                views.workload_page(reader, dag_id, workload, datetime.now(UTC)), layout.workload_layout
            )
        )

    @app.get("/api/dags/{dag_id}/runs/{run_id}/evaluation", dependencies=see_run)
    def evaluation(
        user: GetUserDep, dag_id: DagId, run_id: RunId, workload: WorkloadOf = None, baseline: Baseline = None
    ) -> Response:
        return source.answer(
            lambda reader: laid_out(
                views.evaluation(reader, dag_id, run_id, workload, baseline, texts=_texts_are_shown()),
                lambda found: layout.evaluation_layout(found, baseline or ""),
            )
        )

    @app.get("/api/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/approval", dependencies=see_task)
    def approval(user: GetUserDep, dag_id: DagId, run_id: RunId, task_id: TaskId) -> Response:
        return source.answer(
            lambda reader: laid_out(
                views.approval(reader, dag_id, run_id, task_id),
                lambda found: layout.approval_layout(found, dag_id, run_id),
            )
        )

    @app.get(
        "/api/dags/{dag_id}/runs/{run_id}/texts/{example_id}",
        dependencies=[Depends(requires_access_dag("PUT"))],
    )
    def reveal(
        user: GetUserDep,
        dag_id: DagId,
        run_id: RunId,
        example_id: ExampleId,
        workload: WorkloadOf = None,
        asked: Annotated[str, Header(alias="X-Distill-Reveal")] = "",
    ) -> Response:
        if not _texts_are_shown():
            raise HTTPException(403, "Texts are not shown: `[airflow_distill] show_texts` is off.")
        if asked != "click":
            raise HTTPException(403, "A text is shown after a click on its page only.")

        def shown(reader: Reader) -> dict[str, Any]:
            found = views.texts(reader, dag_id, run_id, workload, example_id)
            _audit(user, dag_id, run_id, example_id)
            return found

        return source.answer(shown)

    app.add_exception_handler(RequestValidationError, _no_such_thing)
    app.add_exception_handler(HTTPException, _refused)
    app.add_middleware(_Guarded)
    return app


def laid_out(found: dict[str, Any] | None, lay: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Return the blocks of what was found, or the sentence that says why there are none."""
    if found is None:
        return {"problem": NOTHING_YET}
    return found if "problem" in found else lay(found)


class _Source:
    """The reader, made when first needed; while it cannot be made, every answer says why."""

    def __init__(self, connect: Callable[[], Reader]) -> None:
        self._connect = connect
        self._reader: Reader | None = None

    def answer(self, view: Callable[[Reader], dict[str, Any]]) -> Response:
        """Return a view as JSON, or the sentence that says why there is none."""
        try:
            if self._reader is None:
                self._reader = self._connect()
            return _answer(view(self._reader))
        except HTTPException:
            raise
        except GoodsError as error:
            log.warning("A page cannot show its goods: %s", error)
            return _problem(str(error), "")
        except DistillError as error:
            log.warning("A page cannot be read: %s", error)
            return _problem(error.message, error.hint or "")
        except Exception as error:
            log.exception("A page cannot be read")
            return _problem(
                f"The bucket cannot be read just now ({type(error).__name__}).",
                "Look at the api-server's log; check `[airflow_distill] root` and `aws_conn_id`.",
            )


def _answer(body: dict[str, Any]) -> Response:
    return JSONResponse(body, headers={"Cache-Control": "no-store"})


def _problem(said: str, do: str) -> Response:
    return _answer({"problem": {"said": said, "do": do}})


def _texts_are_shown() -> bool:
    return bool(conf.getboolean(SECTION, "show_texts", fallback=False))


def _audit(user: Any, dag_id: str, run_id: str, example_id: str) -> None:
    """Leave who saw which text in Airflow's audit log.

    :raises Exception: it could not be written; then nothing is shown.
    """
    from airflow.models.log import Log
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(
            Log(
                event="distill_reveal_text",
                owner=user.get_name(),
                owner_display_name=user.get_name(),
                extra=f'{{"example_id": "{example_id}"}}',
                dag_id=dag_id,
                run_id=run_id,
            )
        )


async def _no_such_thing(request: Request, error: Any) -> Response:
    """Answer an id that is none; what was sent is not repeated."""
    return JSONResponse(
        {"problem": {"said": "There is no such thing.", "do": "Follow the links of the page."}},
        status_code=404,
    )


async def _refused(request: Request, error: Any) -> Response:
    said = {401: "You are not logged in.", 403: "You may not see this.", 404: "There is no such thing."}
    detail = str(error.detail) if error.status_code == 403 and error.detail != "Forbidden" else ""
    return JSONResponse(
        {"problem": {"said": detail or said.get(error.status_code, "This is not answered."), "do": ""}},
        status_code=error.status_code,
        headers=error.headers,
    )


class _Guarded:
    """Puts the headers on every answer."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    *((name.lower().encode(), value.encode()) for name, value in HEADERS.items()),
                ]
            await send(message)

        await self._app(scope, receive, guarded if scope["type"] == "http" else send)

"""Search by words, stored clips and spans; search by an example picture or clip."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request, Response

from api.schemas.answers import json_response
from api.schemas.queries import ExampleOptions, SearchRequest
from api.work.examples import example_form, received_example
from api.work.services import Services, ServicesOf
from search.documents.hits import SearchAnswer, result_document
from search.query.encoding import EncodedQuery
from search.types import Filters, GroupBy, Query

router = APIRouter(prefix="/v1", tags=["search"])


@router.post("/search", response_model=SearchAnswer)
async def search(body: SearchRequest, services: ServicesOf) -> Response:
    """Finds the moments that resemble a query most; its parts combine by weight."""
    query, filters = body.to_query(), body.filters.to_filters()
    work = partial(_answer, services, filters=filters, limit=body.limit, group_by=body.group_by)
    return await services.search(query, work, action=filters.action)


@router.post(
    "/search/example",
    response_model=SearchAnswer,
    openapi_extra=example_form("ExampleOptions", '{"limit": 10, "group_by": "moment"}'),
)
async def search_by_example(request: Request, services: ServicesOf) -> Response:
    """Finds moments like an uploaded picture or clip; a clip is also laid over them in time."""
    example, options = await received_example(request, services, ExampleOptions)
    query, filters = options.to_query(example), options.filters.to_filters()
    work = partial(_answer, services, filters=filters, limit=options.limit, group_by=options.group_by)
    return await services.search(query, work, action=filters.action)


def _answer(
    services: Services, query: Query | EncodedQuery, *, filters: Filters, limit: int, group_by: GroupBy
) -> Response:
    """Searches and serialises, both off the event loop."""
    result = services.engine.search(query, filters, limit=limit, group_by=group_by)
    return json_response(SearchAnswer, result_document(result))

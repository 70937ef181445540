"""What the `cohere` SDK does: rerank, by both versions, and its errors."""

import sys

import cohere

DOCUMENTS = ["green pear", "a red apple", "blue sky"]
for client in (
    cohere.ClientV2(base_url=sys.argv[1], api_key=sys.argv[2]),
    cohere.Client(base_url=sys.argv[1], api_key=sys.argv[2]),
):
    found = client.rerank(model="sim/rerank", query="red apple", documents=DOCUMENTS, top_n=2)
    assert found.results[0].index == 1
    assert len(found.results) == 2
    assert found.meta.billed_units.search_units == 1
    try:
        client.rerank(model="nobody/x", query="a", documents=DOCUMENTS)
        raise SystemExit("no error")
    except cohere.NotFoundError as error:
        if "Unknown model" not in str(error.body):
            raise

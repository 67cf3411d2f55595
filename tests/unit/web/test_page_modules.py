"""What the page's modules return without a browser: numbers with units, addresses, the operations of a query."""

from __future__ import annotations

import csv
import io
from typing import Any, Final
from urllib.parse import parse_qs

import graphql
import pytest
from tests.support.page_modules import call, run_program

from statcore.errors import (
    AccessDeniedError,
    ClosedError,
    ProtocolError,
    TimedOutError,
    UnavailableError,
    UntrustedServerError,
)


def test_operations_are_those_of_a_parser() -> None:
    """The explorer finds the operations that graphql-core finds, in their order, whatever is in strings and arguments."""
    documents = [
        "{ a { b } }",
        "query A { a(b: {c: {d: 1}}) { b } } query B($x: T = {query: {y: 1}}) @skip(if: true) { c }",
        'query A { a(b: "} query C {") } # query D { x }\nfragment F on T { query { fragment } } query G { query }',
        'query S { a(b: """ "} { query E { \\""" """) { c } } query query { x }',
    ]
    parsed = [
        [
            definition.name.value if definition.name else ""
            for definition in graphql.parse(document).definitions
            if isinstance(definition, graphql.OperationDefinitionNode)
        ]
        for document in documents
    ]
    assert parsed == call("explorer/drafts.js", "operationsOf", *([document] for document in documents))


def test_numbers_have_units_that_people_read() -> None:
    """Three digits that mean something, binary prefixes for bytes, zero as zero, and a dash for what is not known."""
    values = {
        (0, "percent"): "0 %",
        (12.345, "percent"): "12.3 %",
        (0.004, "percent"): "0.004 %",
        (1234.5, "percent"): "1235 %",
        (0, "bytes"): "0 B",
        (1023, "bytes"): "1023 B",
        (1024, "bytes"): "1 KiB",
        (1024**3 - 1, "bytes"): "1 GiB",
        (5 * 1024**3 // 2, "bytes"): "2.5 GiB",
        (1_500_000, "bytes_per_s"): "1.43 MiB/s",
        (0.25, "seconds"): "250 ms",
        (59, "seconds"): "59 s",
        (-5, "seconds"): "-5 s",
        (-0.25, "seconds"): "-250 ms",
        (-5400, "seconds"): "-1 h 30 min",
        (3600, "seconds"): "1 h",
        (273_600, "seconds"): "3 d 4 h",
        (1_500, None): "1.5 k",
        (7, "requests"): "7 requests",
        (None, "bytes"): "—",
    }
    assert list(values.values()) == call("units.js", "format", *map(list, values))


def test_a_title_has_the_value_with_all_digits_that_mean_something() -> None:
    """Whole numbers are complete, and a small value is not rounded to zero."""
    values = {
        (1_234_567, "bytes"): "1,234,567 bytes",
        (2**53 - 1, "bytes"): "9,007,199,254,740,991 bytes",
        (12.3456789, "bytes_per_s"): "12.345679 bytes per second",
        (1e-9, "percent"): "0.000000001 percent",
        (-0.5, "count"): "-0.5",
        (None, "percent"): "",
    }
    assert list(values.values()) == call("units.js", "exact", *map(list, values))


def test_times_and_durations_are_those_of_the_command_line() -> None:
    """A time is `now`, a duration before now, or RFC 3339 with a zone; anything else is none."""
    durations = {"15m": 900, "-1h30m": 5400, "7d": 604_800, "1w2d": 777_600, "30s": 30, "": None, "h": None, "1.5h": None}
    assert list(durations.values()) == call("time_range.js", "secondsOf", *([text] for text in durations))
    now = 1_795_341_600
    times = {
        "now": now,
        "-15m": now - 900,
        "2h": now - 7200,
        "2026-11-22T10:00:00Z": now,
        "2026-11-22T12:00:00+02:00": now,
        "2026-11-22T10:00:00": None,
        "yesterday": None,
        "0m": None,
    }
    assert list(times.values()) == call("time_range.js", "timeOf", *([text, now] for text in times))


def test_a_time_that_cannot_exist_is_refused() -> None:
    """A month or a day that no calendar has, and a time before all of them; a day of a leap year is one."""
    times = {
        "2026-13-01T00:00:00Z": False,
        "2026-02-30T10:00:00Z": False,
        "2026-05-01T25:00:00Z": False,
        "99999999999d": False,
        "-99999999999d": False,
        "2024-02-29T10:00:00+09:00": True,
        "-3650d": True,
    }
    found = call("time_range.js", "wrongWith", *([{"from": text, "to": "now"}] for text in times))
    assert list(times.values()) == ["from" not in wrong for wrong in found]
    assert ["step"] == list(call("time_range.js", "wrongWith", [{"from": "-1h", "to": "now", "step": "99999999999d"}])[0])


def test_a_range_is_refreshed_as_long_as_it_can_change() -> None:
    """Between two times of the past nothing changes; where an end moves, the points do."""
    past = "2024-11-22T10:00:00Z"
    ranges = {
        ("-1h", "now"): 10_000,
        ("-3650d", past): 30_000,
        ("2020-01-01T00:00:00Z", past): 0,
        (past, "9999-01-01T00:00Z"): 30_000,
    }
    found = call("time_range.js", "refreshOf", *([{"from": start, "to": end}] for start, end in ranges))
    assert list(ranges.values()) == found


def test_a_range_has_at_most_360_points_of_a_round_step_on_its_grid() -> None:
    """A range that moves keeps its points where they are; one of two times is taken as it is."""
    lengths = {900: 5, 3600: 10, 6 * 3600: 60, 86_400: 300, 7 * 86_400: 1800, 10: 1, 10**9: 2_777_778}
    assert list(lengths.values()) == call("time_range.js", "stepFor", *([length] for length in lengths))
    (before, after) = call(
        "time_range.js",
        "spanOf",
        [{"from": "-1h", "to": "now"}, 1_795_341_604],
        [{"from": "-1h", "to": "now"}, 1_795_341_609],
    )
    assert {"start_s": 1_795_338_000, "end_s": 1_795_341_600, "step_s": 10} == before == after
    own = {"from": "2026-11-22T10:00:01Z", "to": "2026-11-22T10:10:04Z", "step": "1m"}
    assert [{"start_s": 1_795_341_601, "end_s": 1_795_342_204, "step_s": 60}] == call("time_range.js", "spanOf", [own])


def test_only_a_long_step_hides_new_points_of_a_range_until_now() -> None:
    """With a step of 30 minutes, the last point may be half an hour old, and a younger object has no points."""
    now = 1_795_341_600 + 1_700
    ranges = {("-7d", "now"): True, ("-15m", "now"): False, ("-7d", "-1d"): False}
    spans = call("time_range.js", "spanOf", *([{"from": start, "to": end}, now] for start, end in ranges))
    calls = [[{"from": start, "to": end}, span["end_s"], now] for (start, end), span in zip(ranges, spans, strict=True)]
    assert list(ranges.values()) == [text != "" for text in call("time_range.js", "remarkOnEnd", *calls)]


def test_lines_have_gaps_and_no_zeros_where_points_are_missing() -> None:
    """A missing point and a value that is no number are null; lines are named by the labels in which they differ."""
    series = [
        {"labels": {"tank": "a", "site": "x"}, "values": [[0, "1"], [10, "NaN"], [40, "0"]]},
        {"labels": {"tank": "b", "site": "x"}, "values": [[0, "+Inf"]]},
    ]
    (lines,) = call("results.js", "linesOf", [series, {"step_s": 10}, {"name": "current"}])
    assert ["current, tank=a", "current, tank=b"] == [line["label"] for line in lines]
    assert [[[0, 1], [10, None], [20, None], [40, 0]], [[0, None]]] == [line["points"] for line in lines]


def test_csv_is_that_of_a_parser() -> None:
    """Labels, times in UTC and values come back as they were, whatever they contain."""
    series = [
        {"labels": {"name": 'a "b", c'}, "values": [[1_795_341_600, "0.1"], [1_795_341_600.5, "NaN"]]},
        {"labels": {"other": "line\nbreak"}, "values": [[0, "1e+300"]]},
    ]
    (text,) = call("results.js", "csvOf", [series])
    assert [
        {"name": 'a "b", c', "other": "", "time": "2026-11-22T10:00:00Z", "value": "0.1"},
        {"name": 'a "b", c', "other": "", "time": "2026-11-22T10:00:00.500Z", "value": "NaN"},
        {"name": "", "other": "line\nbreak", "time": "1970-01-01T00:00:00Z", "value": "1e+300"},
    ] == list(csv.DictReader(io.StringIO(text)))


def test_whole_numbers_stay_as_they_are_however_large() -> None:
    """They come back digit by digit; fractions, texts and short numbers are what they are for everybody."""
    text = f'{{"a":[{2**53 + 1},-{2**64},1e30,0.1,7],"b":"{2**53 + 1}"}}'
    program = """
    const { fromJson, toJson } = await import("./json.js");
    return [toJson(fromJson(ARGUMENTS[0])), typeof fromJson(ARGUMENTS[0]).a[4]];
    """
    assert [text.replace("1e30", "1e+30"), "number"] == run_program(program, text)


def test_a_field_keeps_a_number_that_would_become_another() -> None:
    """It stays a text, like a text that is no number; the service says what is wrong with it."""
    values: dict[tuple[str, str], Any] = {
        (str(2**53 + 1), "integer"): str(2**53 + 1),
        (str(2**53 - 1), "integer"): 2**53 - 1,
        ("2.5", "number"): 2.5,
        ("1e30", "number"): 1e30,
        ("many", "number"): "many",
        ("true", "truth"): True,
        ("7", "text"): "7",
    }
    assert list(values.values()) == call("query_view.js", "fieldValue", *map(list, values))


def test_a_service_that_hangs_has_not_answered_in_time() -> None:
    """A poll fails after its deadline, whether the headers or the body do not come; one that is stopped is no failure."""
    program = """
    const { poll } = await import("./client.js");
    const { timeout } = AbortSignal;
    AbortSignal.timeout = (ms) => timeout.call(AbortSignal, ms / 1000);
    const hanging = (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const failures = [];
    globalThis.service = (_, { signal }) => hanging(signal);
    failures.push((await poll({ query: "{ version }" })).failure);
    failures.push((await poll({ query: "{ version }", variables: { long: "x".repeat(10_000) } })).failure);
    globalThis.service = (_, { signal }) =>
      new Response(new ReadableStream({ start: (body) => hanging(signal).catch((reason) => body.error(reason)) }));
    failures.push((await poll({ query: "{ version }" })).failure);
    const stopped = new AbortController();
    const waiting = poll({ query: "{ version }" }, { signal: stopped.signal });
    stopped.abort();
    return [failures, await waiting.catch(({ name }) => name)];
    """
    failures, stopped = run_program(program)
    assert 3 == len(failures)
    assert all("did not answer in time" in failure for failure in failures)
    assert "AbortError" == stopped


def test_a_query_that_always_fails_is_no_outage() -> None:
    """The service is down only while no query is answered, so the state does not change with each query."""
    program = """
    const { connection, keepSending } = await import("./live.js");
    let isDown = false;
    globalThis.service = async (url) => {
      if (isDown || url.searchParams.get("query") === "{ refused }") return new Response("<html>", { status: 403 });
      return answer({ data: { version: "1" } });
    };
    const states = [];
    addEventListener("statcore-connection", () => states.push(connection().state));
    const answered = new Promise((resolve) => keepSending({ query: "{ version }" }, resolve, { every_ms: 10 }));
    await answered;
    await new Promise((resolve) => {
      let count = 0;
      keepSending({ query: "{ refused }" }, () => ++count === 5 && resolve(), { every_ms: 40 });
    });
    const before = [...states];
    isDown = true;
    await new Promise((resolve) => addEventListener("statcore-connection", resolve));
    isDown = false;
    await new Promise((resolve) => addEventListener("statcore-connection", resolve));
    return [before, states];
    """
    assert [["ok"], ["ok", "down", "ok"]] == run_program(program)


def test_each_line_that_ended_early_is_stale() -> None:
    """One line that goes on does not hide another that ended; a range that ends after now is judged at now."""
    answer: dict[str, Any] = {"series": [], "warnings": [], "infos": [], "partial": False, "promql": None, "unit": None}
    ended = {"label": "ended", "points": [[1000, 1], [1010, None]]}
    going = {"label": "going", "points": [[1000, 1], [1990, 1]]}
    span = {"start_s": 1000, "end_s": 2000, "step_s": 900}
    calls: list[list[Any]] = [
        [[answer], [going, ended], {**span, "step_s": 10}, 5000],
        [[answer], [going], {**span, "end_s": 9000, "step_s": 10}, 2040],
        [[answer], [going, ended], {**span, "step_s": 10}, 1050],
    ]
    found = call("results.js", "wrongWithAnswers", *calls)
    stale = [[wrong["message"] for wrong in each if wrong["kind"] == "stale"] for each in found]
    assert [1, 0, 0] == [len(messages) for messages in stale]
    assert "ended" in stale[0][0]
    assert "going" not in stale[0][0]


def test_a_part_that_fails_leaves_the_others() -> None:
    """An answer with a good part is good; one that has none, or a query that is not of parts, fails."""
    program = """
    const { keepSending } = await import("./live.js");
    const error = { path: ["part1"], message: "away", extensions: { code: "UnavailableError", retryable: true } };
    const [first, none] = [{ part0: 1, part1: null }, { part0: null, part1: null }];
    const after = (data, hasParts) => {
      globalThis.service = async () => answer({ data, errors: [error] });
      return new Promise((resolve) => keepSending({ query: "{ x }" }, resolve, { every_ms: 0, hasParts }));
    };
    const lives = [await after(first, true), await after(none, true), await after(first, false)];
    return lives.map(({ response, failure }) => [response?.data ?? null, failure ?? null]);
    """
    assert [[{"part0": 1, "part1": None}, None], [None, "away"], [None, "away"]] == run_program(program)


def test_a_refusal_that_passes_is_none() -> None:
    """A query that may be answered later is not refused; the service says when it may be."""
    program = """
    const { keepSending } = await import("./live.js");
    const { refusalOf } = await import("./query_view.js");
    const after = (code, init) => {
      globalThis.service = async () => answer({ errors: [{ message: code, extensions: { code } }] }, init);
      return new Promise((resolve) => keepSending({ query: "{ x }" }, resolve));
    };
    const passing = { status: 429, headers: { "Retry-After": "1" } };
    const lives = [await after("LimitError", passing), await after("LimitError"), await after("UnavailableError")];
    return lives.map((live) => [live.failure, refusalOf(live) ?? null]);
    """
    assert [["LimitError", None], ["LimitError", "LimitError"], ["UnavailableError", None]] == run_program(program)


def test_what_is_unavailable_stays_with_its_time() -> None:
    """A field keeps its newest value and the time of that; a field that is null without an error has no value."""
    program = """
    const { withKept, keptSince } = await import("./kept.js");
    const away = { kind: "unavailable", message: "away", field: "figures" };
    const unreadable = { kind: "malformed", message: "no", field: "devices" };
    const empty = { figures: null, devices: null, agent_id: null };
    const good = withKept({ figures: 1, devices: 2, agent_id: "a" }, [], undefined, 0);
    const once = withKept(empty, [away, unreadable], good, 10);
    const twice = withKept(empty, [away], once, 20);
    const healed = withKept({ ...empty, figures: 3 }, [], twice, 30);
    return [good, once, twice, healed].map((known) => [known.item, keptSince(known) ?? null]);
    """
    kept = [{"figures": 1, "devices": None, "agent_id": None}, 10]
    good = [{"figures": 1, "devices": 2, "agent_id": "a"}, None]
    assert [good, kept, kept, [{"figures": 3, "devices": None, "agent_id": None}, None]] == run_program(program)


_LIST: Final = """
const { ListWindow } = await import("./list_window.js");
const listing = { field: "list", id: "id", fields: "figures", sort: "id", filters: [] };
const [most = 1000] = ARGUMENTS;
const page = (from, limit) => {
  const items = Array.from({ length: limit }, (_, number) => ({ id: from + number }));
  return { total_count: 1000, next_cursor: String(from + limit), items };
};
const extensions = { code: "LimitError", limit: "ids" };
const limited = { errors: [{ message: "too many", path: ["list"], extensions }], data: { list: null } };
globalThis.service = async (url, init) => {
  const { after, limit } = JSON.parse(url.searchParams.get("variables"));
  await hang(after, init);
  return answer(limit > most ? limited : { data: { list: page(Number(after ?? 0), limit) } });
};
let hang = () => {};
"""


def test_a_jump_arrives_where_the_service_lists_less_at_a_time() -> None:
    """It takes several steps, of as many rows as the service allows."""
    program = """
    return await new Promise((resolve) => {
      const list = new ListWindow(listing, ({ rows }) => {
        if (rows.has(950)) resolve(rows.get(950).id);
        else if (rows.has(0)) list.show(940, 960);
      });
    });
    """
    assert 950 == run_program(_LIST + program, 120)


@pytest.mark.parametrize("moved", [5, -5])
def test_the_last_row_is_found_though_figures_change_the_order(moved: int) -> None:
    """Objects move over the place where the last page began: rows are missing after it, or too many follow."""
    program = """
    const [, moved] = ARGUMENTS;
    let isMoved = false;
    globalThis.service = async (url) => {
      const { after, limit } = JSON.parse(url.searchParams.get("variables"));
      if (limit > 100) { // skips rows
        isMoved = !isMoved;
        return answer({ data: { list: { total_count: 1000, next_cursor: String(Number(after) + limit) } } });
      }
      const from = after ? Number(after) + (isMoved ? moved : 0) : 0;
      const items = Array.from({ length: Math.min(limit, 1000 - from) }, (_, number) => ({ id: from + number }));
      const next_cursor = from + limit < 1000 ? String(from + limit) : null;
      return answer({ data: { list: { total_count: 1000, next_cursor, items } } });
    };
    return await new Promise((resolve) => {
      const list = new ListWindow(listing, ({ rows }) => {
        if (rows.get(999)?.id === 999) resolve(rows.get(905).id);
        else if (rows.has(0)) list.show(980, 1000);
      });
    });
    """
    assert 905 == run_program(_LIST + program, 1000, moved)


def test_the_last_rows_are_at_the_end_though_the_order_never_rests() -> None:
    """Five objects have always left the last page since its cursor was found: its 95 rows are the last of the list."""
    program = """
    globalThis.service = async (url) => {
      const { after, limit } = JSON.parse(url.searchParams.get("variables"));
      if (limit > 100) return answer({ data: { list: { total_count: 1000, next_cursor: String(Number(after) + limit) } } });
      const from = after ? Number(after) + 5 : 0;
      const items = Array.from({ length: Math.min(limit, 1000 - from) }, (_, number) => ({ id: from + number }));
      const next_cursor = from + limit < 1000 ? String(from + limit) : null;
      return answer({ data: { list: { total_count: 1000, next_cursor, items } } });
    };
    return await new Promise((resolve) => {
      const list = new ListWindow(listing, ({ rows }) => {
        if (rows.has(950)) resolve([904, 905, 999].map((number) => rows.get(number)?.id ?? null));
        else if (rows.has(0)) list.show(980, 1000);
      });
    });
    """
    assert [None, 905, 999] == run_program(_LIST + program, 1000)


def test_a_row_in_an_outage_has_the_time_of_the_last_confirmation() -> None:
    """The service confirms an answer by 304, and then cannot read the figures: they keep the time of the 304."""
    program = """
    const items = (figures) => ({ list: { total_count: 1, next_cursor: null, items: [{ id: 1, figures }] } });
    const error = { path: ["list", "items", 0, "figures"], message: "away", extensions: { code: "UnavailableError" } };
    let [requests, confirmed_ms] = [0, 0];
    globalThis.service = async () => {
      requests += 1;
      if (requests === 1) return answer({ data: items(7) }, { headers: { ETag: "a" } });
      if (requests > 2) return answer({ data: items(null), errors: [error] });
      confirmed_ms = Date.now();
      return new Response(null, { status: 304 });
    };
    return await new Promise((resolve) => {
      const changed = ({ rows }) => {
        const { item, kept_ms } = rows.get(0);
        if (kept_ms) resolve([item.figures, kept_ms >= confirmed_ms]);
      };
      new ListWindow(listing, changed, { every_ms: 20 });
    });
    """
    assert [7, True] == run_program(_LIST + program)


def test_earlier_rows_stay_until_there_is_an_answer() -> None:
    """A list whose order changes in an outage has the rows of the order before, until the service answers."""
    program = """
    const first = await new Promise((resolve) => {
      const list = new ListWindow(listing, (listed) => {
        list.stop();
        resolve(listed);
      });
    });
    const good = service;
    globalThis.service = async () => answer({ errors: [{ message: "away", extensions: { code: "UnavailableError" } }] });
    const seen = [];
    await new Promise((resolve) => {
      const changed = (listed) => {
        seen.push([listed.isOther, listed.total, listed.rows.size, listed.failure ?? null]);
        globalThis.service = good;
        if (!listed.failure) resolve();
      };
      new ListWindow({ ...listing, sort: "-id" }, changed, { every_ms: 10, before: first });
    });
    return seen;
    """
    assert [[True, 1000, 100, "away"], [False, 1000, 100, None]] == run_program(_LIST + program)


def test_a_page_that_hangs_ends_and_others_are_loaded() -> None:
    """While it hangs no other page is requested; its deadline ends that."""
    program = """
    const { timeout } = AbortSignal;
    AbortSignal.timeout = (ms) => timeout.call(AbortSignal, ms / 100);
    hang = (after, { signal }) => {
      if (!after) return;
      hang = () => {};
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    };
    return await new Promise((resolve) => {
      const list = new ListWindow(listing, ({ rows, failure }) => {
        if (rows.has(350)) resolve(rows.get(350).id);
        else if (failure) list.show(340, 360);
        else if (rows.has(0)) list.show(140, 160);
      });
    });
    """
    assert 350 == run_program(_LIST + program)


def test_an_error_belongs_to_the_field_that_it_names_or_quotes() -> None:
    """The first name counts; a part of a word is no name."""
    fields = [{"name": "metric_name"}, {"name": "kernel_id", "value": "x"}, {"name": "id", "value": ""}]
    messages = {
        "container needs metric_name": "metric_name",
        "kernel_id must be set with metric_name": "kernel_id",
        "not an id: 'x'; expected a UUID": "id",
        "expected a UUID, not 'x'": "kernel_id",
        "the service is away": None,
    }
    assert list(messages.values()) == call("query_view.js", "fieldIn", *([message, fields] for message in messages))


def test_an_address_leads_back_to_its_place() -> None:
    """Each part of a path and each parameter comes back as it was, whatever its letters are."""
    nasty = ["plain", "a/b", "50%", "%2F", "ä 漢 🙂", "a=b&c", "#?", "+ +"]
    hrefs = call("state.js", "hrefOf", *([["object", "session", text], {"q": text, "sort": ""}] for text in nasty))
    expected = [["object", "session", text] for text in nasty]
    assert expected == [place["path"] for place in call("state.js", "placeOf", *([href] for href in hrefs))]
    assert [{"q": [text]} for text in nasty] == [parse_qs(href.partition("?")[2]) for href in hrefs]


def test_an_address_that_names_nothing_is_the_first_view() -> None:
    """An empty fragment, or one that is not a path."""
    places = call("state.js", "placeOf", [""], ["#"], ["#content"], ["#/agents"])
    assert [["sessions"], ["sessions"], ["sessions"], ["agents"]] == [place["path"] for place in places]


def test_each_kind_of_problem_has_a_sign_and_a_kind_of_its_error() -> None:
    """No two kinds have the same sign, a kind that the page does not know has another one, and each outage is one."""
    of_answers = ["missing", "stale", "incomplete", "unavailable", "malformed", "undated", "partial"]
    kinds = [*of_answers, "outdated", "warning", "info", "error", "blocked"]
    looks = call("problems.js", "lookOf", *([kind] for kind in kinds))
    assert len(kinds) == len({look["sign"] for look in looks}) == len({look["word"] for look in looks})
    outages = [UnavailableError, AccessDeniedError, UntrustedServerError, TimedOutError, ClosedError, ProtocolError]
    assert {"unavailable"} == set(call("problems.js", "kindOf", [], *([error.__name__] for error in outages)))
    others = {"InputError": "error", "UnsupportedError": "missing", "MalformedEntryError": "malformed", "NewError": "error"}
    assert list(others.values()) == call("problems.js", "kindOf", *([code] for code in others))
    failures = [{"code": "LimitError", "retryAfter_s": 1}, {"code": "LimitError"}, {}]
    assert ["unavailable", "error", "unavailable"] == call("problems.js", "kindOfFailure", *([each] for each in failures))


def test_problems_are_found_at_their_items() -> None:
    """Problems and errors of fields have the kind of their looks; those elsewhere are left out."""
    response: Any = {
        "extensions": {"problems": [{"path": ["list", "items", 2, "figures"], "kind": "stale", "message": "old"}]},
        "errors": [
            {"path": ["list", "items", 2, "devices"], "message": "away", "extensions": {"code": "TimedOutError"}},
            {"path": ["other", "items", 2], "message": "elsewhere", "extensions": {"code": "InputError"}},
        ],
    }
    stale = {"kind": "stale", "message": "old", "field": "figures"}
    away = {"kind": "unavailable", "message": "away", "field": "devices"}
    calls = [[response, ["list", "items", number]] for number in (1, 2)]
    assert [[], [stale, away]] == call("problems.js", "wrongAt", *calls)

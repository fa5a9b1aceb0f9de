"""Lists of records with live lock marks, in a real browser."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, WebSocket, WebSocketRoute, expect

from formlock_push import Pusher
from formlock_push.plain_locks import PlainLocks
from tests.browser.conftest import Tab, Visitor
from tests.support.node import Node


class Table:
    """A page with a list of three records of a type of their own."""

    def __init__(self, page_as: Visitor, form: str, attributes: str = "") -> None:
        self.kind = form.rpartition(".")[2]
        self.amounts = {1: "10", 2: "20", 3: "30"}
        self.attributes = attributes
        self.page_as = page_as

    def topic(self, number: int) -> str:
        return f"com.example.form.{self.kind}.{number}"

    def markup(self) -> str:
        rows = "".join(
            f'<tr form-lock-item="{self.topic(number)}"><td><a href="#{number}">{number}</a><td class=amount>{amount}'
            "<td><span form-lock-mark></span></tr>"
            for number, amount in sorted(self.amounts.items())
        )
        return f'<table form-lock-list="{self.kind}" {self.attributes}><tbody>{rows}</table>'

    def open(self, user: str) -> Page:
        return self.page_as.html(user, user.title(), self.topic(1), self.markup).page

    def editor(self, user: str, number: int) -> Tab:
        topic = self.topic(number)
        tab = self.page_as.html(user, user.title(), topic, f'<form form-lock="{topic}"><input name="x"></form>')
        tab.lock()
        return tab


def item(page: Page, table: Table, number: int) -> Locator:
    return page.locator(f'[form-lock-item="{table.topic(number)}"]')


def test_marks_of_a_whole_list(page_as: Visitor, form: str) -> None:
    """U18, U24: a list shows who edits what, live, with one connection and no request while nothing happens."""
    table = Table(page_as, form)
    ann = table.editor("ann", 1)
    page = table.open("eva")
    expect(item(page, table, 1)).to_have_attribute("data-form-lock-state", "held")
    expect(item(page, table, 1)).to_contain_text("Ann is editing")
    expect(item(page, table, 2)).to_have_attribute("data-form-lock-state", "free")
    requests: list[str] = []
    sockets: list[WebSocket] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("websocket", lambda socket: sockets.append(socket))
    table.editor("bob", 2)
    expect(item(page, table, 2)).to_contain_text("Bob is editing")
    ann.press("Done")
    expect(item(page, table, 1)).to_have_attribute("data-form-lock-state", "free")
    expect(item(page, table, 1).locator("[form-lock-mark]")).to_have_text("")
    assert (requests, sockets) == ([], [])


def test_nothing_is_free_before_it_is_told(page_as: Visitor, form: str) -> None:
    """U18: a row is not called free while the page has not heard what is locked."""
    table = Table(page_as, form)
    context = page_as.context()
    away = True

    def connect(connection: WebSocketRoute) -> None:
        if away:
            connection.close()
        else:
            connection.connect_to_server()

    context.route_web_socket("**/ws", connect)
    page = page_as.html("eva", "Eva", table.topic(1), table.markup, context=context).page
    expect(item(page, table, 1)).to_have_attribute("data-form-lock-state", "connecting")
    away = False
    expect(item(page, table, 1)).to_have_attribute("data-form-lock-state", "free")


def test_ones_own_mark_and_late_rows(page_as: Visitor, form: str) -> None:
    """One's own lock is told apart, and rows that come later are marked too."""
    table = Table(page_as, form)
    table.editor("eva", 1)
    page = table.open("eva")
    expect(item(page, table, 1)).to_have_attribute("data-form-lock-state", "mine")
    expect(item(page, table, 1)).to_contain_text("You are editing")
    page.evaluate(
        "topic => document.querySelector('tbody').insertAdjacentHTML('beforeend',"
        " `<tr form-lock-item='${topic}'><td>copy<td form-lock-mark></tr>`)",
        table.topic(1),
    )
    expect(page.get_by_role("row", name="copy")).to_have_attribute("data-form-lock-state", "mine")


def test_saved_rows_are_fetched(page_as: Visitor, node: Node, form: str) -> None:
    """A17: with update="rows" a change that a backend reports, of a section too, brings that row anew, one that is new or gone
    as well; the focus stays."""
    table = Table(page_as, form, 'update="rows"')
    page = table.open("eva")
    expect(item(page, table, 1)).to_have_attribute("data-form-lock-state", "free")
    page.evaluate("document.querySelector('tr').marked = true")
    item(page, table, 2).get_by_role("link").focus()
    table.amounts |= {2: "25", 4: "40"}
    del table.amounts[3]
    for number in (2, 3, 4):
        node.push({"form": table.topic(number)})
    expect(item(page, table, 2).locator(".amount")).to_have_text("25")
    expect(item(page, table, 3)).to_have_count(0)
    expect(item(page, table, 4)).to_be_visible()
    assert page.locator("tr a").all_text_contents() == ["1", "2", "4"]
    assert page.evaluate("document.activeElement.textContent") == "2"
    assert page.evaluate("document.querySelector('tr').marked"), "a row that nothing was reported of is left alone"
    table.amounts[1] = "11"
    with Pusher(node.zmq_url) as pusher:
        assert pusher.push(f"{table.topic(1)}.address")
    expect(item(page, table, 1).locator(".amount")).to_have_text("11")


def test_many_rows_are_fetched(page_as: Visitor, node: Node, form: str) -> None:
    """U36: after a change of many records a list is read again with one request: all of its rows, or those that were named."""
    table = Table(page_as, form, 'update="rows"')
    page = table.open("eva")
    expect(item(page, table, 1)).to_have_attribute("data-form-lock-state", "free")
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    table.amounts = {1: "11", 2: "22", 3: "30", 4: "40"}
    with Pusher(node.zmq_url) as pusher:
        assert pusher.bulk(table.kind, 2, ["2", "4"])
        expect(item(page, table, 4)).to_be_visible()
        expect(item(page, table, 2).locator(".amount")).to_have_text("22")
        assert page.locator("tr a").all_text_contents() == ["1", "2", "3", "4"]
        expect(item(page, table, 1).locator(".amount")).to_have_text("10")
        table.amounts = {1: "11", 2: "22", 4: "40", 5: "50"}
        assert pusher.bulk(table.kind, 4_000)
    expect(item(page, table, 1).locator(".amount")).to_have_text("11")
    expect(item(page, table, 3)).to_have_count(0)
    assert page.locator("tr a").all_text_contents() == ["1", "2", "4", "5"]
    assert len(requests) == 2


def test_a_page_takes_many_changes_itself(page_as: Visitor, node: Node, form: str) -> None:
    """A list's page may cancel `formlock:updated` of many records as well as that of one, and hears how many they are (U36)."""
    table = Table(page_as, form, 'update="rows"')
    tab = page_as.html("eva", "Eva", table.topic(1), table.markup)
    expect(item(tab.page, table, 1)).to_have_attribute("data-form-lock-state", "free")
    tab.page.evaluate(
        "document.addEventListener('formlock:updated', (event) => {"
        " const { count } = event.detail.update;"
        " if (count) { event.preventDefault(); window.heard = [event.target.tagName, count] } })"
    )
    table.amounts |= {1: "11", 2: "22"}
    with Pusher(node.zmq_url) as pusher:
        assert pusher.bulk(table.kind, 4_000)
        tab.until("window.heard")
        assert tab.page.evaluate("window.heard") == ["TABLE", 4_000]
        assert pusher.push(table.topic(2))
    expect(item(tab.page, table, 2).locator(".amount")).to_have_text("22")
    expect(item(tab.page, table, 1).locator(".amount")).to_have_text("10")


def test_a_list_after_a_lost_connection(page_as: Visitor, form: str) -> None:
    """What happened while the connection was lost is true afterwards, rows included (U40)."""
    table = Table(page_as, form, 'update="rows"')
    page = table.open("eva")
    ann = table.editor("ann", 1)
    expect(item(page, table, 1)).to_have_attribute("data-form-lock-state", "held")
    page.evaluate("async () => { const { pageClient } = await import('/formlock/formlock.js'); pageClient().supervisor.stop() }")
    ann.press("Done")
    ann.sees("free")
    table.amounts[2] = "25"
    page.evaluate("async () => { const { pageClient } = await import('/formlock/formlock.js'); pageClient().supervisor.start() }")
    expect(item(page, table, 1)).to_have_attribute("data-form-lock-state", "free")
    expect(item(page, table, 2).locator(".amount")).to_have_text("25")


def test_a_lock_without_a_page(page_as: Visitor, node: Node, form: str) -> None:
    """U18: whoever edits by plain HTTP, without a page of their own, is editing: nobody was cut off. So say list, badge, banner."""
    table = Table(page_as, form)
    topic = table.topic(1)
    locks = PlainLocks(node.folder / "credentials" / "http", node.url + "formlock/")
    before, after = (table.page_as.html("eva", "Eva", topic, lambda: badged(table)) for _ in range(2))
    expect(item(before.page, table, 1)).to_have_attribute("data-form-lock-state", "free")
    lock = locks.lock(topic, user="ann", name="Ann Weber", lease_ms=60_000)
    after.page.reload()  # one hears of it, the other asks
    for tab in (before, after):
        expect(item(tab.page, table, 1)).to_contain_text("Ann Weber is editing")
        expect(item(tab.page, table, 1)).to_have_attribute("data-form-lock-state", "held")
        expect(tab.page.locator("form-lock-badge")).to_have_text("Ann Weber is editing")
        expect(tab.page.locator("form-lock-badge")).to_have_attribute("state", "held")
        tab.sees("locked", "Ann Weber is editing.")
    locks.unlock(topic, lock["receipt"])
    expect(item(before.page, table, 1)).to_have_attribute("data-form-lock-state", "free")


def badged(table: Table) -> str:
    """The list, with a badge and the form of its first record."""
    topic = table.topic(1)
    return f'{table.markup()}<form-lock-badge for="{topic}"></form-lock-badge><form form-lock="{topic}"><input name="x"></form>'

"""Kinds of mail about forms that are rare but allowed, or seen: examples of RFCs, address literals, tests of browsers."""

from typing import Any

from tests.support.mails.making import PDF, Style, encoded, expect, kind, part, right, single, text_part, whole

Made = tuple[bytes, dict[str, Any]]


@kind(8)
def examples_of_rfc_5322(s: Style) -> Made:
    """Appendix A, with its groups, comments, routes and obsolete forms."""
    john, joe = {"name": "John", "email": "jdoe@one.test"}, {"email": "joe@example.org"}
    written, meant = (
        ('"Joe Q. Public" <john.q.public@example.com>', [{"name": "Joe Q. Public", "email": "john.q.public@example.com"}]),
        ("Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>", [{"name": "Mary Smith", "email": "mary@x.test"}, {"email": "jdoe@example.org"}, {"name": "Who?", "email": "one@y.test"}]),
        ('<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>', [{"email": "boss@nil.test"}, {"name": 'Giant; "Big" Box', "email": "sysservices@example.net"}]),
        ("A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;", [{"name": "Ed Jones", "email": "c@a.test"}, {"email": "joe@where.test"}, john]),
        ("Undisclosed recipients:;", []),
        ("Pete(A nice \\) chap) <pete(his account)@silly.test(his host)>", [{"name": "Pete", "email": "pete@silly.test"}]),
        ("A Group(Some people)\r\n :Chris Jones <c@(Chris's host.)public.example>,\r\n joe@example.org,\r\n John <jdoe@one.test> (my dear friend); (the end of the group)", [{"name": "Chris Jones", "email": "c@public.example"}, joe, john]),
        ("Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example", [{"name": "Mary Smith", "email": "mary@example.net"}, {"email": "jdoe@test.example"}]),
    )[s.n]  # fmt: skip
    return f"To: {written}\r\nSubject: x\r\n\r\nx".encode(), {"to": meant}


@kind(17)
def addresses_of_rare_forms(s: Style) -> Made:
    """Address literals, quoted signs, double brackets, X.400 and gateways, names behind and around."""
    a = {"email": "a@x.example"}
    written, meant = (
        ("<user@[IPv6:2001:db8::1]>", [{"email": "user@[IPv6:2001:db8::1]"}]), ("user@[IPv6:2001:db8::1]", [{"email": "user@[IPv6:2001:db8::1]"}]),
        ("X <user@[192.0.2.1]>", [{"name": "X", "email": "user@[192.0.2.1]"}]), ("<<a@x.example>>", [a]), ('"a\\"b"@x.example', [{"email": '"a\\"b"@x.example'}]),
        ("<@r.example:user@[IPv6:::1]>", [{"email": "user@[IPv6:::1]"}]), ('<"a:b"@x.example>', [{"email": '"a:b"@x.example'}]), ('"/C=DE/A=X/"@gw.example', [{"email": '"/C=DE/A=X/"@gw.example'}]),
        ("user%host@relay.example", [{"email": "user%host@relay.example"}]), ("<a@x.example> Name", [{"name": "Name", **a}]), ("Name Two a@x.example", [{"name": "Name Two", **a}]),
        ("=?utf-8?Q?J=C3=B6rg_=3Ca=40x.example=3E?=", [{"name": "Jörg", **a}]), ('"" <a@x.example>', [a]), ("a@x.example\t", [a]),
        ("A <a@x.example> =?utf-8?q?=2C?= b@y.example", [{"name": "A", **a}, {"email": "b@y.example"}]),
        ("=?utf-8?q?=C3=A4?= <a@x.example>\r\n =?utf-8?b?LA==?= B <b@y.example>", [{"name": "ä", **a}, {"name": "B", "email": "b@y.example"}]),
        ("Ann <IT> <a@x.example>", [{"name": "Ann IT", **a}]),
    )[s.n]  # fmt: skip
    return f"To: {written}\r\nSubject: x\r\n\r\nx".encode(), {"to": meant}


@kind(22)
def disposition_forms(s: Style) -> Made:
    """What browsers and Thunderbird read of a disposition: `name*` first, then pieces, then `name`; the first of doubles."""
    written, name = (
        ("filename*=UTF-8''extended.pdf; filename*1=x", "extended.pdf"), ("filename*0*=UTF-8''multi; filename*=UTF-8''extended.pdf", "extended.pdf"),
        ("filename*0=first; filename*1=second; filename*0=wrong", "firstsecond"), ("filename=basic; filename*0=foo; filename*1=bar", "foobar"),
        ("filename=basic; filename*1=foo; filename*2=bar", "basic"), ("filename*0=foo; filename*01=bar", "foo"), ("filename*00=foo; filename*01=bar", "foobar"),
        ("filename=basic; filename=wrong", "basic"), ('filename="basic" foo', "basic"), ('filename="foo.pdf".txt', "foo.pdf"), ("filename*=; filename=basic", "basic"),
        ("filename*=UTF-8''; filename=basic", "basic"), ("filename*=UTF-8''foo-%41", "foo-A"), ("filename*=UTF-8''foo-%zz", "foo-%zz"), ('filename="foo-%41.pdf"', "foo-%41.pdf"),
        ("filename*=UTF-8''%c3%a4%e2%82%ac", "ä€"), ("filename*0*=UTF-8''foo-%c3; filename*1*=%a4.pdf", "foo-ä.pdf"), ("filename*0=UTF-8''multi; filename*1=line", "UTF-8''multiline"),
        ("filename*0=\"Frank's\"; filename*1=\" Doc\"", "Frank's Doc"), ("filename*0*=\"us-ascii'en-us'Frank's\"; filename*1*=\" Doc\"", "Frank's Doc"),
        ("filename=\"a \"quoted\" b.pdf\"", 'a "quoted" b.pdf'), ("filename=\"\"; filename*=UTF-8''x.pdf", "x.pdf"),
    )[s.n]  # fmt: skip
    fields = [
        "Content-Type: application/pdf",
        f"Content-Disposition: attachment; {written}",
        "Content-Transfer-Encoding: base64",
    ]
    return whole(s, "mixed", text_part(s), part(fields, encoded(PDF, "base64"))), right(
        s, attachments=[expect(name, PDF)]
    )


@kind(6)
def comments_in_fields(s: Style) -> Made:
    """Comments before, between and behind words of the MIME fields (RFC 2045 5.1)."""
    content_type, disposition, encoding = (
        ("(c) application/pdf; name=a.pdf", "attachment", "base64 (c)"), ("application/pdf (c); name=a.pdf", "(c) attachment", "(c) base64"),
        ("application/pdf; (c) name=a.pdf", "attachment (c)", "base64"), ('application/pdf; name="a.pdf" (c)', "inline (c); (d) filename=a.pdf", "base64"),
        ("(a (b\\) c) application/pdf; name=a.pdf", "attachment", "base64"), ("application/pdf; name=a.pdf (c; d)", "attachment; filename=a.pdf", "base64"),
    )[s.n]  # fmt: skip
    fields = [
        f"Content-Type: {content_type}",
        f"Content-Disposition: {disposition}",
        f"Content-Transfer-Encoding: {encoding}",
    ]
    wanted = expect("a.pdf", PDF, "application/pdf")
    if s.n == 4:
        wanted = expect("a.pdf", PDF)
    return whole(s, "mixed", text_part(s), part(fields, encoded(PDF, "base64"))), right(s, attachments=[wanted])


@kind(6)
def quoted_printable_lines(s: Style) -> Made:
    """Soft breaks by CR, LF and CRLF; none of them takes text with it."""
    eol = ("\r\n", "\n", "\r", "  \r\n", "\t\n", "\r\r\n")[s.n]
    fields = ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable"]
    return single(s, part(fields, f"one=20={eol}two=C3={eol}=A4 three".encode())), right(
        s, text_contains=["one two\u00e4 three"]
    )


@kind(6)
def names_of_encodings(s: Style) -> Made:
    """A transfer encoding that is spelled with blanks, hyphens and underscores."""
    name = ("Base 64", "base-64", "quoted_printable", "Quoted Printable", "8 bit", "7_bit")[s.n]
    data = encoded(b"plain words of a mail", "base64" if "64" in name else "8bit")
    fields = ["Content-Type: text/plain; charset=utf-8", f"Content-Transfer-Encoding: {name}"]
    return single(s, part(fields, data)), right(s, text_contains=["plain words of a mail"], sound=True)

"""Services that accept mail for delivery, one file for each, behind the port `MailProvider`.

None of them repeats a call: one that may have arrived and was not answered is `OutcomeUnknown`. Errors contain codes and
the provider's name, never its texts, because these quote addresses.
"""

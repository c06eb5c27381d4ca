"""Services that accept mail for delivery, one file for each, behind the port `MailProvider`.

None of them tries anything twice: a call that may have been heard and was not answered is `OutcomeUnknown`. What goes
into errors are codes and the provider's name, never its own words, for they quote addresses.
"""

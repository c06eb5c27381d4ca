"""The SQL adapters of one database, built together. `mailroom.wiring` makes the engine."""

from functools import partial

from sqlalchemy import Engine

from mailroom.adapters.aws.counter_s3 import S3Counter
from mailroom.adapters.postgres.archive.audits import SqlArchiveAudit
from mailroom.adapters.postgres.archive.findings import SqlArchiveFindings
from mailroom.adapters.postgres.archive.holds import SqlHolds
from mailroom.adapters.postgres.archive.journal import SqlJournal
from mailroom.adapters.postgres.archive.pieces import SqlPieceAudit
from mailroom.adapters.postgres.archive.rules import SqlRetentionRules
from mailroom.adapters.postgres.archive.seals import SqlSeals
from mailroom.adapters.postgres.delivery.breakers import SqlBreakers
from mailroom.adapters.postgres.delivery.endpoints import SqlEndpoints
from mailroom.adapters.postgres.delivery.events import SqlEvents
from mailroom.adapters.postgres.delivery.hooks import SqlDeduplicator, SqlHooks
from mailroom.adapters.postgres.delivery.return_paths import SqlReturnPaths
from mailroom.adapters.postgres.delivery.suppressions import SqlSuppressions
from mailroom.adapters.postgres.delivery.unsubscribing import SqlUnsubscribing
from mailroom.adapters.postgres.inbound.ledger import SqlLedger
from mailroom.adapters.postgres.inbound.other_notices import SqlOtherNotices
from mailroom.adapters.postgres.inbound.processing import SqlProcessings
from mailroom.adapters.postgres.inbound.replays import SqlReplays
from mailroom.adapters.postgres.inbound.sender_limit import SqlSenderLimit
from mailroom.adapters.postgres.inbox.filing import SqlInbox
from mailroom.adapters.postgres.inbox.inbox_reader import SqlInboxReader
from mailroom.adapters.postgres.inbox.item_marks import SqlItemMarks
from mailroom.adapters.postgres.operations.monitoring import SqlMonitoring, SqlReconciliations
from mailroom.adapters.postgres.operations.restores import SqlRestores
from mailroom.adapters.postgres.operations.roster import SqlRoster
from mailroom.adapters.postgres.operations.status import SqlStatusFacts
from mailroom.adapters.postgres.outbound.dispatching import SqlDispatch
from mailroom.adapters.postgres.outbound.message_reader import SqlMessageReader
from mailroom.adapters.postgres.outbound.order_runs import SqlOrderRuns
from mailroom.adapters.postgres.outbound.outbox import SqlOutbox
from mailroom.adapters.postgres.outbound.pauses import SqlPauses
from mailroom.adapters.postgres.outbound.quotas import SqlQuotas
from mailroom.adapters.postgres.outbound.terms import SqlTerms
from mailroom.adapters.postgres.tenants.addresses import SqlAddresses
from mailroom.adapters.postgres.tenants.api_keys import SqlApiKeys
from mailroom.adapters.postgres.tenants.directory import SqlTenants
from mailroom.adapters.postgres.tenants.people import SqlPeople, SqlSessions, SqlSignInLinks
from mailroom.adapters.postgres.tenants.senders import SqlSenders
from mailroom.adapters.postgres.tenants.trail import SqlTrail


class Store:
    """The SQL adapters of one database. No connection is made before one of them is used."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.ledger, self.roster, self.processings = SqlLedger(engine), SqlRoster(engine), SqlProcessings(engine)
        self.other_notices, self.sender_limit = SqlOtherNotices(engine), partial(SqlSenderLimit, engine)
        self.inbox, self.reader, self.item_marks = SqlInbox(engine), SqlInboxReader(engine), SqlItemMarks(engine)
        self.directory, self.tenants, self.senders = SqlAddresses(engine), SqlTenants(engine), SqlSenders(engine)
        # Outbound mail, without the check for a restored database.
        self.outbox, self.dispatch, self.order_runs = SqlOutbox(engine), SqlDispatch(engine), SqlOrderRuns(engine)
        self.message_reader, self.quotas, self.terms = SqlMessageReader(engine), SqlQuotas(engine), SqlTerms(engine)
        self.events, self.hooks, self.once = SqlEvents(engine), SqlHooks(engine), SqlDeduplicator(engine)
        self.pauses, self.endpoints, self.breakers = SqlPauses(engine), SqlEndpoints(engine), SqlBreakers(engine)
        self.suppressions, self.unsubscribing = SqlSuppressions(engine), SqlUnsubscribing(engine)
        self.archive_audit, self.piece_audit = SqlArchiveAudit(engine), SqlPieceAudit(engine)
        self.return_paths, self.watch = SqlReturnPaths(engine), SqlMonitoring(engine)
        self.reconciliations, self.trail, self.journal = (
            SqlReconciliations(engine),
            SqlTrail(engine),
            SqlJournal(engine),
        )
        self.seals = SqlSeals(engine)
        self.people, self.sessions, self.links = SqlPeople(engine), SqlSessions(engine), SqlSignInLinks(engine)
        self.retention_rules, self.legal_holds = SqlRetentionRules(engine), SqlHolds(engine)
        self.api_keys, self.replays, self.facts = SqlApiKeys(engine), SqlReplays(engine), SqlStatusFacts(engine)

    def archive_findings(self, bucket: str) -> SqlArchiveFindings:
        """Return the findings about this archive bucket."""
        return SqlArchiveFindings(self.engine, bucket)

    def restores(self, outside: S3Counter) -> SqlRestores:
        """Return the detector of database restores."""
        return SqlRestores(self.engine, outside)

    def guarded_outbox(self, guard: SqlRestores) -> SqlOutbox:
        """Return the outbox for accepting batches: in a restored database, waiting messages are held before it stores any."""
        return SqlOutbox(self.engine, guard)

    def guarded_dispatch(self, guard: SqlRestores) -> SqlDispatch:
        """Return the dispatch store, which leases no messages while the database counts as restored."""
        return SqlDispatch(self.engine, guard)

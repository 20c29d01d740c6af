"""Everything that is decided, joined: each kind of stream, its state, and its commands."""

from __future__ import annotations

from services.access import api_key, denial
from services.accounts import (
    account,
    billing_profile,
    card,
    checking,
    method_choice,
    method_details,
    payment_method,
    preferences,
    tokenizing,
    verifying,
)
from services.applications import allocating, applying, auto_applying, rule_applying
from services.authorizations import authorization, authorizing, capturing, reversing
from services.authorizations import outcomes as authorization_outcomes
from services.calls import calling, gateway, provider
from services.credits import credit_memo, crediting, crediting_lines, debiting, writing_off
from services.decision import Subject
from services.disputes import disputing
from services.invoices import converting, invoice, posting, preparing, standing, subscription, voiding
from services.migrations import migrating, token_migration
from services.notifications import heeding, notification
from services.orchestrations import canceling, falling_back, orchestrating, orchestration, replanning
from services.payments import (
    arriving,
    checking_out,
    drafting,
    external,
    linking,
    paying,
    payment,
    payment_group,
    returning,
    taking_back,
)
from services.payouts import banking, payout, reporting, settling
from services.processes import collecting as collecting_process
from services.processes import expiring, notifying, promoting
from services.processes import firing as firing_process
from services.processes import linking as linking_process
from services.processes import refunding as refunding_process
from services.processes import retrying as retrying_process
from services.processes import scheduling as scheduling_process
from services.processes import settling as settling_process
from services.processes import transferring as transferring_process
from services.processes.process import Process
from services.refunds import approving, lining, refund, refund_outcomes, refunding
from services.retries import defining, retrying
from services.runs import batch_run, page, recording, selecting, tally
from services.schedulers import firing, planning, scheduler
from services.schedules import (
    collected,
    collecting,
    cutting,
    following,
    policy,
    promising,
    schedule,
    scheduling,
)
from services.tenants import exceptions, parking, periods, rates, tenant_settings
from services.transfers import receiving, transferring

SUBJECTS: tuple[Subject, ...] = (
    api_key.SUBJECT,
    denial.SUBJECT,
    tenant_settings.SUBJECT,
    account.SUBJECT,
    Subject(
        payment_method.SavedMethod,
        payment_method.evolve,
        (*tokenizing.RULES, *verifying.RULES, *checking.RULES, *method_details.RULES),
    ),
    card.SUBJECT,
    Subject(
        token_migration.TokenMigrationJob,
        token_migration.evolve,
        (*token_migration.RULES, *migrating.RULES),
    ),
    defining.SUBJECT,
    defining.SETS,
    provider.SUBJECT,
    gateway.SUBJECT,
    calling.SUBJECT,
    Subject(
        authorization.Authorization,
        authorization.evolve,
        (*authorizing.RULES, *capturing.RULES, *reversing.RULES, *authorization_outcomes.RULES),
    ),
    payment_group.SUBJECT,
    linking.SUBJECT,
    exceptions.SUBJECT,
    Subject(notification.Inbox, notification.evolve, (*notification.RULES, *heeding.RULES)),
    parking.SUBJECT,
    subscription.SUBJECT,
    periods.SUBJECT,
    rates.SUBJECT,
    debiting.SUBJECT,
    disputing.SUBJECT,
    Subject(
        payment.Payment,
        payment.evolve,
        (
            *paying.RULES,
            *arriving.RULES,
            *external.RULES,
            *taking_back.RULES,
            *drafting.RULES,
            *returning.RULES,
            *transferring.RULES,
            *receiving.RULES,
            *auto_applying.RULES,
            *rule_applying.RULES,
            *method_choice.RULES,
            *settling.RULES,
            *billing_profile.RULES,
            *preferences.RULES,
        ),
    ),
    Subject(
        invoice.Invoice,
        invoice.evolve,
        (
            *posting.RULES,
            *preparing.RULES,
            *checking_out.RULES,
            *standing.RULES,
            *converting.RULES,
            *writing_off.RULES,
            *voiding.RULES,
            *crediting_lines.RULES,
            *applying.RULES,
            *allocating.RULES,
        ),
    ),
    Subject(credit_memo.CreditMemo, credit_memo.evolve, crediting.RULES),
    Subject(
        refund.Refund,
        refund.evolve,
        (*refunding.RULES, *approving.RULES, *lining.RULES, *refund_outcomes.RULES),
    ),
    Subject(
        orchestration.RefundOrchestration,
        orchestration.evolve,
        (*orchestrating.RULES, *falling_back.RULES, *canceling.RULES, *replanning.RULES),
    ),
    Subject(payout.SettlementReport, payout.evolve_report, reporting.REPORT_RULES),
    Subject(payout.Payout, payout.evolve, (*reporting.RULES, *banking.PAYOUT_RULES)),
    Subject(payout.PayoutLine, payout.evolve_line, reporting.LINE_RULES),
    Subject(payout.BankLine, payout.evolve_bank_line, banking.BANK_LINE_RULES),
    Subject(scheduler.PaymentScheduler, scheduler.evolve, (*planning.RULES, *firing.RULES)),
    Subject(
        batch_run.PaymentBatchRun, batch_run.evolve, (*batch_run.RULES, *selecting.RULES, *recording.RULES)
    ),
    Subject(tally.RunTally, tally.evolve),
    Subject(page.RunPage, page.evolve),
    policy.DEFAULT,
    policy.SUBJECT,
    promising.SUBJECT,
    Subject(
        schedule.PaymentSchedule,
        schedule.evolve,
        (
            *scheduling.RULES,
            *cutting.RULES,
            *following.RULES,
            *collecting.RULES,
            *collected.RULES,
            *retrying.RULES,
        ),
    ),
)

EVOLVE = {subject.state: subject.evolve for subject in SUBJECTS}
RULES = {rule.command: rule for subject in SUBJECTS for rule in subject.rules}

PROCESSES: tuple[Process, ...] = (
    refunding_process.PROCESS,
    expiring.PROCESS,
    linking_process.PROCESS,
    promoting.PROCESS,
    notifying.PROCESS,
    retrying_process.PROCESS,
    transferring_process.PROCESS,
    settling_process.PROCESS,
    scheduling_process.PROCESS,
    firing_process.PROCESS,
    collecting_process.PROCESS,
)

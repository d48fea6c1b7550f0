-- The pages of the queue and of what became of messages: steps that people take, and how long a page may search.

alter type log.step add value 'held';
alter type log.step add value 'released';
alter type log.step add value 'retried';
alter type log.step add value 'cancelled';
comment on column log.trace.step is 'accepted: 250 was said, a row for each recipient; refused; placed: it is in a mailbox; missed: the mailbox was deleted meanwhile; queued: for another server; reported: its sender is told of what became of it; held, released, retried, cancelled: somebody did so to what is queued';
comment on column log.trace.reply is 'What was said: the refusal, or the kind of the report; who held, released, retried or cancelled it';

alter table control.web add column search_seconds integer not null default 20
  constraint "a page may search for 1 to 300 seconds" check (search_seconds between 1 and 300);
comment on column control.web.search_seconds is 'How long a page may search or work in the database; then it is given up, and says so';

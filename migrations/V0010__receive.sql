-- Who may send what: relaying without login, senders that belong to somebody, proxies in front, and what EHLO offers.

create type control.mail_from_policy as enum ('any', 'own');
comment on type control.mail_from_policy is 'Which senders a user may give in MAIL FROM';
create type control.unresolvable_policy as enum ('accept', 'defer', 'refuse');
comment on type control.unresolvable_policy is 'What is done with senders whose domain takes no mail';

alter table control.listener
  add column proxy_ip_list_id bigint references control.ip_list;
comment on column control.listener.proxy_ip_list_id is 'Proxies in front of this listener: the addresses in this IP list must send a PROXY protocol header (version 1 or 2) first, and are believed. Empty = none; nobody else is believed';

alter table control.smtp
  add column relay_ip_list_id bigint references control.ip_list,
  add column xclient_ip_list_id bigint references control.ip_list,
  add column mail_from_policy control.mail_from_policy not null default 'any',
  add column local_senders_need_login boolean not null default false,
  add column refuse_unknown_local_senders boolean not null default true,
  add column unresolvable_sender control.unresolvable_policy not null default 'accept',
  add column max_hold_seconds integer not null default 2592000
    constraint "max_hold_seconds is 0 (not offered) to 31536000 (one year)" check (max_hold_seconds between 0 and 31536000),
  add column min_deliver_by_seconds integer not null default 0
    constraint "min_deliver_by_seconds is from 0 to 86400" check (min_deliver_by_seconds between 0 and 86400),
  add column max_priority smallint not null default 4
    constraint "a priority is from -9 to 9" check (max_priority between -9 and 9),
  add column vrfy boolean not null default false,
  add column expn boolean not null default false,
  add column etrn boolean not null default false;
comment on column control.smtp.relay_ip_list_id is 'The addresses in this IP list may send mail to other servers without a login, on submission listeners too; empty = nobody may';
comment on column control.listener.mode is 'smtp only. standard: mail from other servers; submission: mail from users, who must log in unless control.smtp.relay_ip_list_id has their address; lmtp: LMTP (RFC 2033)';
comment on column control.smtp.xclient_ip_list_id is 'The addresses in this IP list may say by XCLIENT for which client they speak; empty = nobody may';
comment on column control.smtp.mail_from_policy is 'Senders that users may give. any: whatever they like; own: their own address, aliases that lead to them, and what directory.sender_permission allows. An account may have its own policy';
comment on column control.smtp.local_senders_need_login is 'Whether addresses of accounts and aliases here may be given as sender only by those who have logged in, or may relay. A domain or account may differ';
comment on column control.smtp.refuse_unknown_local_senders is 'Whether senders in your domains that do not exist are refused';
comment on column control.smtp.unresolvable_sender is 'Senders whose domain takes no mail, for it has neither MX nor address: accept, defer (450), or refuse (550). Names that cannot be looked up now are deferred, unless all are accepted';
comment on column control.smtp.max_hold_seconds is 'How long users may have a message held back (FUTURERELEASE, RFC 4865); 0 = not offered';
comment on column control.smtp.min_deliver_by_seconds is 'Shortest time to deliver a message that must otherwise be returned (DELIVERBY, RFC 2852)';
comment on column control.smtp.max_priority is 'Highest priority that users may give a message (MT-PRIORITY, RFC 6710), from -9 to 9; higher ones are lowered to it. An account may have its own';
comment on column control.smtp.vrfy is 'Whether VRFY tells users and relaying peers which addresses exist; others are always answered 252';
comment on column control.smtp.expn is 'Whether EXPN tells users and relaying peers who is behind an alias';
comment on column control.smtp.etrn is 'Whether ETRN lets users and relaying peers start the queue of a domain';

alter table directory.domain
  add column sender_needs_login boolean;
comment on column directory.domain.sender_needs_login is 'Whether addresses of this domain may be given as sender only by those who have logged in, or may relay; empty = as in control.smtp';

alter table directory.account
  add column sender_needs_login boolean,
  add column mail_from_policy control.mail_from_policy,
  add column max_priority smallint constraint "a priority is from -9 to 9" check (max_priority between -9 and 9);
comment on column directory.account.sender_needs_login is 'Whether this address may be given as sender only after a login, or by those who may relay; empty = as its domain says';
comment on column directory.account.mail_from_policy is 'Senders this account may give: any, or own; empty = as in control.smtp';
comment on column directory.account.max_priority is 'Highest priority this account may give a message; empty = as in control.smtp';

create table directory.sender_permission (
  id bigint generated by default as identity primary key,
  account_id bigint not null references directory.account on delete cascade,
  pattern text not null
    constraint "a sender is like someone@example.test or *@example.test" check (
      pattern ~ '^[^@[:space:][:cntrl:]]+@[^@[:space:][:cntrl:]*]+$' and octet_length(pattern) <= 320),
  constraint "this permission exists already" unique (account_id, pattern)
);
comment on table directory.sender_permission is 'Further senders that accounts with the policy own may give in MAIL FROM';
comment on column directory.sender_permission.account_id is 'The account';
comment on column directory.sender_permission.pattern is 'An address, or *@domain for all of a domain; the domain in its ASCII form';

create table control.oidc_issuer (
  id bigint generated by default as identity primary key,
  issuer text not null unique constraint "an issuer is an https:// address" check (issuer ~ '^https://[^[:space:]]+$'),
  audience text not null constraint "an audience is not empty" check (audience <> ''),
  jwks_url text constraint "jwks_url is an https:// address" check (jwks_url ~ '^https://[^[:space:]]+$'),
  username_claim text not null default 'email' constraint "username_claim is not empty" check (username_claim <> ''),
  algorithms text[] not null default '{RS256,RS384,RS512,PS256,PS384,PS512,ES256,ES384,EdDSA}'
    constraint "algorithms are RS256 to ES384 or EdDSA, see the default" check (
      cardinality(algorithms) > 0 and algorithms <@ array['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'EdDSA']),
  roots text constraint "roots are certificates in PEM" check (roots like '%-----BEGIN CERTIFICATE-----%'),
  active boolean not null default true
);
comment on table control.oidc_issuer is 'OpenID Connect providers whose access tokens log users in (OAUTHBEARER, XOAUTH2), over TLS only';
comment on column control.oidc_issuer.issuer is 'The issuer as tokens name it (iss)';
comment on column control.oidc_issuer.audience is 'What tokens for this server have in aud';
comment on column control.oidc_issuer.jwks_url is 'Where the issuer''s keys are; empty = found by issuer/.well-known/openid-configuration';
comment on column control.oidc_issuer.username_claim is 'The claim that holds the address of the account. Choose one that users cannot set themselves';
comment on column control.oidc_issuer.algorithms is 'Signatures that are accepted';
comment on column control.oidc_issuer.roots is 'Certificates (PEM) trusted for the issuer''s web server besides those of the system';
comment on column control.oidc_issuer.active is 'Whether its tokens are accepted';

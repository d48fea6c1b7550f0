-- What runs, where it listens and who is connected, and the menu.
select jsonb_build_object('shown', logic.services_shown(), 'menu', logic.pages())

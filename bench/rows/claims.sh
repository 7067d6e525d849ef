# A first claim, beside the bare INSERT.
new_database claims
PGDATABASE=claims
row 'a new claim' 'claims/s'
beside 'ours' '' for_longer per_second claim 1
beside 'the bare INSERT' '>= 0.97' for_longer per_second insert 1
take_turns

row 'a new claim, durable' 'claims/s'
beside 'ours' '' durably for_longer per_second claim 1
beside 'the bare INSERT' '>= 0.97' durably for_longer per_second insert 1
take_turns

row 'a new claim, durable, 8 clients' 'claims/s'
beside 'ours' '' durably for_longer per_second claim 8
beside 'the bare INSERT' '>= 0.97' durably for_longer per_second insert 8
take_turns

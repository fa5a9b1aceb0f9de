# frozen_string_literal: true

# Pushes one update and shows the bridge's answer: ruby push.rb com.example.form.invoice.42 '{"amount": ["120.00", "140.00"]}'

require_relative "form_lock/reliable_pusher"

pusher = FormLock::ReliablePusher.new(ENV.fetch("FORMLOCK_ACKNOWLEDGED", "tcp://127.0.0.1:5556"), source: "ruby-example")
answer = pusher.push(
  form: ARGV.fetch(0, "com.example.form.invoice.42"),
  change_set: JSON.parse(ARGV.fetch(1, '{"amount": ["120.00", "140.00"]}'))
)
puts JSON.generate(answer)
exit(answer.key?("error") ? 1 : 0)

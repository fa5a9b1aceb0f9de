# frozen_string_literal: true

# Does in Ruby what the suite says (suite.py): one JSON command a line, one answer a line. ruby driver.rb EXAMPLES

%w[form_id message pusher reliable_pusher http_pusher].each { |name| require "#{ARGV.fetch(0)}/form_lock/#{name}" }

def opened(said)
  keys = said["keys"]
  limits = { within_ms: said["within_ms"] }
  case said["way"]
  when "best_effort" then FormLock::Pusher.new(said["address"], **limits, linger_ms: said["linger_ms"], keys: keys)
  when "acknowledged" then FormLock::ReliablePusher.new(said["address"], **limits, source: said["source"], keys: keys)
  when "http" then FormLock::HttpPusher.new(keys["name"], keys["http_secret"], said["address"], **limits, source: said["source"])
  end
end

pusher = nil
act = {
  "open" => ->(said) { (pusher = opened(said)) && true },
  "push" => ->(said) { pusher.push(said["update"]) },
  "push_all" => ->(said) { pusher.push_all(said["updates"]) },
  "together" => ->(said) { said["updates"].map { |update| Thread.new { pusher.push(update) } }.map(&:value) },
  "until" => ->(said) { (1..).find { !pusher.push(said["update"]).key?("error") } },
  "flood" => ->(said) { (0...said["most"]).find { !pusher.push(said["update"]) } || said["most"] },
  "encode" => ->(said) { FormLock::Message.of(JSON.parse(said["raw"])).json },
  "escape" => ->(said) { FormLock.escape(said["raw"]) },
  "nan" => ->(_) { pusher.push(form: "com.example.form.invoice.42", change_set: { a: [Float::NAN, 1] }) }
}
$stdout.sync = true
$stdin.each_line do |line|
  said = JSON.parse(line)
  began = Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond)
  begin
    answer = { answer: act.fetch(said["do"]).call(said) }
  rescue StandardError => e
    answer = { raised: e.class.name }
  end
  puts JSON.generate(answer.merge(ms: Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond) - began))
end

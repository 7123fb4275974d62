#include "sim/sim_client.h"

#include <fmt/format.h>

#include <algorithm>

namespace loyal::sim {

namespace {

constexpr std::uint64_t watch_stream = 10'000;

// A transaction that took its other branch was executed, but changed nothing.
bool was_applied(const kvstore::Operation& operation, const kvstore::Outcome& outcome) {
    if (outcome.status != kvstore::Status::ok || !std::holds_alternative<kvstore::Txn>(operation)) {
        return outcome.status == kvstore::Status::ok;
    }
    const auto result = kvstore::decode_txn_result(outcome.result);
    return result && result->succeeded;
}

}  // namespace

using client::Certainty;
using client::ReadResult;
using client::WriteResult;
using kvstore::Operation;
using kvstore::Range;
using kvstore::Status;

SimClient::SimClient(std::size_t index, const ClientContext& context, const crypto::PublicKey& key,
                     const SimSigner* signer, Random random)
    : index_(index),
      context_(context),
      id_(consensus::client_id_of(key)),
      random_(random),
      session_id_(random_.next()) {
    client::SessionOptions options;
    options.key = key;
    options.session = session_id_;
    options.retry_ms = context.scenario.workload.retry_ms;
    options.timeout_ms = context.scenario.workload.timeout_ms;
    options.replicas_probe_every = 8;
    options.reads_before_sparing = context.scenario.seed % 3;  // clients live for few reads here
    session_ = std::make_unique<client::Session>(context.membership, signer, options);
    next_issue_ = random_.below(2 * context.scenario.workload.think_us + 1);
    add_watches();
}

// With randomness of their own: clients that watch do otherwise what they would have done.
void SimClient::add_watches() {
    const SimWatch::Outside outside{*session_, context_.world.changes(), [this] { return context_.scheduler.now_ms(); },
                                    [this] { return context_.world.chain().begin().completed; },
                                    [this](const std::string& what) { context_.world.violation(what); }};
    for (std::size_t i = 0; i < context_.scenario.workload.watches; ++i) {
        Random random(context_.scenario.seed, watch_stream + 64 * index_ + i);
        watches_.push_back(std::make_unique<SimWatch>(fmt::format("client {}, watch {}", index_, i), outside,
                                                      context_.scenario.workload, random));
    }
}

void SimClient::faults_ended() {
    last_phase_ = true;
    for (const auto& watch : watches_) {
        watch->settle();
    }
}

std::uint64_t SimClient::changes_told() const {
    std::uint64_t told = 0;
    for (const auto& watch : watches_) {
        told += watch->told();
    }
    return told;
}

void SimClient::connected(consensus::ReplicaId replica) {
    session_->connected(replica, context_.scheduler.now_ms());
    pump();
}

void SimClient::disconnected(consensus::ReplicaId replica) {
    session_->disconnected(replica, context_.scheduler.now_ms());
    pump();
}

void SimClient::receive(consensus::ReplicaId from, const wire::ReplicaMessage& message) {
    session_->receive(from, message, context_.scheduler.now_ms());
    issue();
    pump();
}

void SimClient::tick() {
    for (const auto& watch : watches_) {
        watch->tick();
    }
    session_->tick(context_.scheduler.now_ms());
    issue();
    pump();
}

void SimClient::pump() {
    for (client::Outgoing& out : session_->take_outgoing()) {
        context_.world.client_request(index_, out.to, out.message);
    }
}

std::size_t SimClient::last_operations() const {
    return context_.scenario.workload.last_operations + further_;
}

bool SimClient::finished() const {
    const bool asked = reading_back_ ? to_read_back_.empty() : last_phase_ && last_done_ >= last_operations();
    const bool told = reading_back_ || std::all_of(watches_.begin(), watches_.end(),
                                                   [](const auto& watch) { return watch->caught_up(); });
    return asked && told && outstanding_ == 0;
}

bool SimClient::completed() const {
    const WorkloadShape& w = context_.scenario.workload;
    const bool asked = last_phase_ ? last_done_ >= last_operations() : issued_ == w.operations;
    return asked && outstanding_ == 0 && counters_.unknown == 0;
}

void SimClient::read_back(std::vector<std::string> keys) {
    reading_back_ = true;
    to_read_back_ = std::move(keys);
    read_back_next();
    pump();
}

void SimClient::abandon() {
    abandoned_ = true;
    for (const auto& [number, call] : open_writes_) {
        ++counters_.unknown;
        record(call, false, true);
        report(call, OperationSeen::Status::unknown, true);
    }
    open_writes_.clear();
}

std::string SimClient::waiting_for() const {
    std::string text =
        fmt::format("client {}: {} of {} last operations done, under way:", index_, last_done_, last_operations());
    for (const auto& [number, what] : open_) {
        text += " " + what;
    }
    for (const auto& watch : watches_) {
        text += watch->caught_up() ? "" : "; " + watch->waiting_for();
    }
    return text;
}

// ---- The workload

std::string SimClient::new_value() {
    std::string value = fmt::format("c{}.{}", index_, ++values_);
    value.resize(std::max(value.size(), context_.scenario.workload.value_bytes), '.');
    return value;
}

SimClient::Call SimClient::begin(bool last) {
    Call call;
    call.last = last;
    call.key = context_.scenario.workload.key(random_.below(context_.scenario.workload.keys));
    call.begun = context_.scheduler.now();
    call.mark = context_.world.chain().begin();
    call.op.call = context_.world.moment();
    call.op.who = fmt::format("c{}#{}", index_, ++calls_);
    return call;
}

void SimClient::issue() {
    const WorkloadShape& w = context_.scenario.workload;
    const TimeUs now = context_.scheduler.now();
    while (outstanding_ < w.outstanding && issued_ < w.operations && !last_phase_ && !reading_back_ &&
           now >= next_issue_) {
        ++issued_;
        next_issue_ = now + (w.pause_us ? 0 : random_.below(2 * w.think_us + 1));
        issue_one(false);
    }
    while (last_phase_ && outstanding_ < w.outstanding && last_done_ + last_outstanding_ < last_operations()) {
        ++last_outstanding_;
        issue_one(true);
    }
    read_back_next();
}

void SimClient::read_back_next() {
    while (reading_back_ && !to_read_back_.empty() && outstanding_ < context_.scenario.workload.outstanding) {
        ++outstanding_;
        Call call = begin(false);
        call.reads_back = true;
        call.key = std::move(to_read_back_.back());
        to_read_back_.pop_back();
        Range range;
        range.begin = bytes_of(call.key);
        read(std::move(call), std::move(range));
    }
}

void SimClient::issue_one(bool last) {
    ++outstanding_;
    Call call = begin(last);
    const Bytes key = bytes_of(call.key);
    const OperationMix& mix = context_.scenario.workload.mix;
    if (mix.txns + mix.leases > 0) {
        const std::uint64_t kind = random_.below(100);
        if (kind < mix.txns) {
            return issue_txn(std::move(call));
        }
        if (kind < mix.txns + mix.leases) {
            return issue_lease(std::move(call));
        }
    }
    std::uint64_t draw = random_.below(100);
    if (draw < mix.puts) {
        call.op.kind = Kind::put;
        call.op.value = new_value();
        const Bytes value = bytes_of(*call.op.value);
        return write(std::move(call), kvstore::Put{key, value});
    }
    draw -= mix.puts;
    if (draw < mix.cas) {
        call.op.kind = Kind::cas;
        const auto seen = last_seen_.find(call.key);
        call.op.expect = seen == last_seen_.end() || random_.one_in(4) ? std::nullopt : seen->second;
        kvstore::CompareAndSet cas;
        cas.key = key;
        if (call.op.expect) {
            cas.expect = bytes_of(*call.op.expect);
        }
        const bool deletes = mix.cas_deletes && call.op.expect && random_.one_in(6);
        if (!deletes) {
            call.op.value = new_value();
            cas.value = bytes_of(*call.op.value);
        }
        return write(std::move(call), std::move(cas));
    }
    draw -= mix.cas;
    if (draw < mix.deletes) {
        call.op.kind = Kind::del;
        return write(std::move(call), kvstore::Delete{key});
    }
    issue_read(std::move(call), draw - mix.deletes);
}

// The first `ranges` of the draws are for ranges, the rest for single keys.
void SimClient::issue_read(Call call, std::uint64_t draw) {
    const OperationMix& mix = context_.scenario.workload.mix;
    Range range;
    range.begin = bytes_of(call.key);
    call.is_range = draw < mix.ranges;
    if (call.is_range) {
        range.begin = bytes_of(random_.one_in(2) ? "k" : call.key);
        range.end = random_.one_in(2) ? Bytes() : bytes_of("k9");
        range.limit = static_cast<std::uint32_t>(random_.below(4));
        range.reverse = random_.one_in(3);
        range.keys_only = random_.one_in(4);
        range.count_only = random_.one_in(6);
    }
    if (random_.one_in(mix.ordered_one_in)) {
        return write(std::move(call), std::move(range));  // takes its place among the writes
    }
    read(std::move(call), std::move(range));
}

void SimClient::write(Call call, Operation operation) {
    open_[calls_] = fmt::format("{} since {} ms", call.op.who, call.begun / ms);
    context_.trace.event("call", index_, calls_, static_cast<std::uint64_t>(call.op.kind));
    if (!std::holds_alternative<Range>(operation)) {
        open_writes_.emplace(calls_, call);
    }
    session_->write(operation, context_.scheduler.now_ms(),
                    [this, number = calls_, call, operation](const WriteResult& result) {
                        if (abandoned_) {
                            return;
                        }
                        open_.erase(number);
                        open_writes_.erase(number);
                        if (const auto* range = std::get_if<Range>(&operation)) {
                            ordered_read_ended(call, *range, result);
                        } else {
                            write_ended(call, operation, result);
                        }
                    });
}

void SimClient::read(Call call, Range range) {
    open_[calls_] = fmt::format("{} (read) since {} ms", call.op.who, call.begun / ms);
    context_.trace.event("call", index_, calls_, 9);
    session_->read(range, context_.scheduler.now_ms(), [this, number = calls_, call, range](const ReadResult& result) {
        if (abandoned_) {
            return;
        }
        open_.erase(number);
        read_ended(call, range, result);
    });
}

// ---- What came back

void SimClient::ended(const Call& call, bool success, const char* what) {
    --outstanding_;
    if (const auto& pause = context_.scenario.workload.pause_us) {
        next_issue_ = context_.scheduler.now() + *pause;
    }
    if (call.last) {
        --last_outstanding_;
        last_done_ += success ? 1 : 0;
    }
    counters_.slowest_us = std::max(counters_.slowest_us, context_.scheduler.now() - call.begun);
    context_.trace.text([&] { return fmt::format("  {} {} {}", call.op.who, call.key, what); });
}

void SimClient::report(const Call& call, OperationSeen::Status status, bool applied) {
    Observer* observer = context_.world.observer();
    if (observer == nullptr || call.is_range || call.reads_back || call.on_leases) {
        return;
    }
    OperationSeen seen;
    seen.client = index_;
    seen.key = call.key;
    seen.op = call.op;
    seen.op.applied = applied;
    seen.status = status;
    seen.call_us = call.begun;
    seen.ret_us = context_.scheduler.now();
    observer->answered(seen);
}

void SimClient::record(const Call& call, bool known, bool applied) {
    if (call.on_leases) {
        return;
    }
    RegisterOp op = call.op;
    op.applied = applied;
    if (known) {
        op.ret = context_.world.moment();
    }
    if (call.also_puts && applied) {
        RegisterOp put = op;
        put.kind = Kind::put;
        put.value = call.also_puts->second;
        history_[call.also_puts->first].push_back(std::move(put));
    }
    history_[call.key].push_back(std::move(op));
}

void SimClient::write_ended(const Call& call, const Operation& operation, const WriteResult& result) {
    context_.trace.event("return", index_, static_cast<std::uint64_t>(result.certainty), result.outcome.revision.value);
    if (result.denied) {
        context_.world.violation(fmt::format("client {} was denied: {}", index_, result.why));
    }
    if (result.certainty == Certainty::maybe_applied) {
        ++counters_.unknown;
        record(call, false, true);
        report(call, OperationSeen::Status::unknown, true);
        return ended(call, false, "unknown");
    }
    const Status status = result.outcome.status;
    if (result.certainty == Certainty::not_applied || !ChainChecker::took_part(status)) {
        ++counters_.not_applied;
        report(call, OperationSeen::Status::fail, false);
        return ended(call, false, "not applied");
    }
    ++counters_.done;
    if (auto finding = context_.world.chain().acknowledged(id_, session_id_, call.mark, operation, result.outcome)) {
        context_.world.violation(fmt::format("client {}, {}: {}", index_, call.op.who, *finding));
    }
    const bool applied = was_applied(operation, result.outcome);
    if (applied) {
        last_seen_[call.key] = call.op.value;  // absent after a delete
        if (call.also_puts) {
            last_seen_[call.also_puts->first] = call.also_puts->second;
        }
        learn_lease(operation, result.outcome);
    }
    record(call, true, applied);
    report(call, OperationSeen::Status::ok, applied);
    ended(call, true, applied ? "done" : "done, not applied");
}

void SimClient::saw(const Call& call, const kvstore::RangeResult& range) {
    ++counters_.done;
    if (call.is_range) {
        return ended(call, true, "read a range");
    }
    Call seen = call;
    if (!range.items.empty()) {
        seen.op.out = string_of(range.items.front().value);
    }
    last_seen_[call.key] = seen.op.out;
    record(seen, true, true);
    report(seen, OperationSeen::Status::ok, true);
    if (call.reads_back && context_.world.observer() != nullptr) {
        context_.world.observer()->read_back(call.key, seen.op.out,
                                             range.items.empty() ? 0 : range.items.front().version);
    }
    ended(call, true, seen.op.out ? seen.op.out->c_str() : "(absent)");
}

void SimClient::read_ended(const Call& call, const Range& range, const ReadResult& result) {
    context_.trace.event("return", index_, result.ok ? 1 : 0, result.revision.value);
    if (!result.ok) {
        ++counters_.reads_failed;
        if (result.denied) {
            context_.world.violation(fmt::format("client {} was denied a read: {}", index_, result.why));
        }
        report(call, OperationSeen::Status::fail, false);
        return ended(call, false, "read failed");
    }
    ++(result.path == client::ReadPath::fast ? counters_.reads_fast : counters_.reads_ordered);
    if (auto finding = context_.world.chain().read_returned(call.mark, range, result.range)) {
        context_.world.violation(fmt::format("client {}, {}: {}", index_, call.op.who, *finding));
    }
    saw(call, result.range);
}

void SimClient::ordered_read_ended(const Call& call, const Range& range, const WriteResult& result) {
    context_.trace.event("return", index_, static_cast<std::uint64_t>(result.certainty), result.outcome.revision.value);
    if (result.certainty != Certainty::done || result.outcome.status != Status::ok) {
        ++counters_.reads_failed;
        report(call, OperationSeen::Status::fail, false);
        return ended(call, false, "ordered read failed");
    }
    const auto read = kvstore::decode_range_result(result.outcome.result);
    if (!read) {
        context_.world.violation(fmt::format("client {}: a range result does not parse", index_));
        return ended(call, false, "not a result");
    }
    if (auto finding = context_.world.chain().read_returned(call.mark, range, *read)) {
        context_.world.violation(fmt::format("client {}, {}: {}", index_, call.op.who, *finding));
    }
    saw(call, *read);
}

}  // namespace loyal::sim

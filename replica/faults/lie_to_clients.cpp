// A replica that follows the protocol among its peers and lies to clients: wrong outcomes of writes, old, changed or
// missing values in reads, hints that lead astray. Every lie is well-formed and carries the digest of its own content,
// so only the comparison of w answers (P2, R3) exposes it. Lies depend on the honest answer alone: two liars tell the
// same one, the worst that f of them can do. It lies to everybody, or to some.
#include <map>

#include "consensus/receipt.h"
#include "kvstore/operation.h"
#include "replica/faults/arguments.h"
#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using kvstore::Item;
using kvstore::Outcome;
using kvstore::QueryAnswer;
using kvstore::RangeResult;
using kvstore::Status;

constexpr std::size_t remembered_max = 256;
constexpr std::uint64_t an_hour_ms = 3'600'000;

class LieToClients final : public FaultModel {
 public:
    LieToClients(const FaultContext& context, ClientSet victims)
        : context_(context), self_(context.self), victims_(std::move(victims)) {}

    [[nodiscard]] std::string name() const override { return "lie-to-clients"; }
    [[nodiscard]] std::vector<wire::ReplicaMessage> to_client(const consensus::ClientId& client,
                                                              wire::ReplicaMessage message) override {
        if (victims_.contains(client)) {
            std::visit([this](auto& value) { distort(value); }, message);
        }
        return one(std::move(message));
    }

 private:
    void distort(wire::Welcome& message) const { mislead(message.view, message.hlc), message.primary = self_; }
    void distort(wire::Reply& message);
    void distort(wire::ReadReply& message);
    void distort(wire::Refusal&) const {}
    void distort(wire::StatusReply&) const {}
    void distort(wire::ControlReply&) const {}  // an operator must be able to end this
    // Both prove what they say: a lie is no answer.
    void distort(wire::CheckpointAnswer& message) const { message.proof.reset(); }
    void distort(wire::WatchEvents& message) const;
    // "Nothing happens for long": believed by those who count one voice.
    void distort(wire::WatchProgress& message) const { message.upto.revision = message.upto.revision.plus(1'000); }
    void distort(wire::WatchEnd& message) const { message.oldest = message.oldest.plus(1'000); }
    void distort(wire::StateAnswer& message) const { message.chunk.available = false; }

    // Told well: the false outcome is the only leaf of a tree of its own, under a digest that this replica signs.
    void distort(wire::ReceiptAnswer& message) const;
    void distort(wire::StateProofAnswer& message) const {
        kvstore::RecordProof& record = message.proof.record;
        record.content = record.content ? std::nullopt : std::optional(bytes_of("lie"));
    }

    // Hints count only when w replicas give them: a far view and a clock an hour ahead must change nothing.
    static void mislead(consensus::View& view, consensus::Hlc& hlc) {
        view = view.plus(1'000'000);
        hlc = consensus::Hlc(hlc.wall_ms() + an_hour_ms, hlc.counter());
    }
    [[nodiscard]] static Outcome false_outcome(Outcome outcome);
    [[nodiscard]] RangeResult false_range(RangeResult range, std::uint64_t draw);
    [[nodiscard]] QueryAnswer false_answer(QueryAnswer answer, std::uint64_t draw);

    FaultContext context_;
    consensus::ReplicaId self_;
    ClientSet victims_;
    std::map<Bytes, Item> first_seen_;  // old values, the most credible lie about a read
};

Bytes changed(Bytes value) {
    if (value.empty()) {
        return bytes_of("lie");
    }
    value.back() = static_cast<std::uint8_t>(value.back() ^ 1U);
    return value;
}

Outcome LieToClients::false_outcome(Outcome outcome) {
    switch (outcome.status) {
        case Status::ok:
            if (outcome.result.empty()) {
                outcome.status = Status::mismatch;  // a write that took place is denied
            } else if (auto range = kvstore::decode_range_result(outcome.result); range && !range->items.empty()) {
                range->items.front().value = changed(range->items.front().value);
                outcome.result = kvstore::encode_range_result(*range);
            } else {
                outcome.status = Status::not_found;
                outcome.result.clear();
            }
            break;
        default: outcome.status = Status::ok;  // a write that did not take place is confirmed
    }
    outcome.revision = outcome.revision.next();
    return outcome;
}

void LieToClients::distort(wire::Reply& message) {
    mislead(message.view, message.hlc);
    for (wire::OutcomeReply& reply : message.outcomes) {
        if (reply.outcome) {
            reply.outcome = false_outcome(*reply.outcome);
            reply.digest = kvstore::outcome_digest(*reply.outcome);
        } else {
            reply.digest = crypto::digest_of("lie", reply.digest.view());
        }
    }
}

void LieToClients::distort(wire::ReceiptAnswer& message) const {
    kvstore::Receipt& receipt = message.receipt;
    receipt.outcome = false_outcome(std::move(receipt.outcome));
    receipt.leaf = 0;
    receipt.leaves = 1;
    receipt.path.clear();
    const auto digest = kvstore::executed_digest_of(receipt);
    message.signature =
        Pen(context_).sign(consensus::SignDomain::receipt,
                           consensus::receipt_content({{receipt.outcome.height, receipt.block_id}, *digest, self_}));
}

RangeResult LieToClients::false_range(RangeResult range, std::uint64_t draw) {
    for (Item& item : range.items) {
        if (first_seen_.size() < remembered_max) {
            first_seen_.try_emplace(item.key, item);
        }
        const auto old = first_seen_.find(item.key);
        if (old != first_seen_.end() && old->second != item) {
            item = old->second;
        } else if (draw % 2 == 0) {
            item.value = changed(item.value);
        }
    }
    if (draw % 3 == 0 && !range.items.empty()) {
        range.items.pop_back();
        range.count -= range.count > 0 ? 1 : 0;
    }
    return range;
}

QueryAnswer LieToClients::false_answer(QueryAnswer answer, std::uint64_t draw) {
    if (answer.status != Status::ok) {
        return {Status::ok,
                kvstore::encode_range_result({})};  // there is nothing, instead of "not any more" or "not yet"
    }
    if (const auto range = kvstore::decode_range_result(answer.result)) {
        answer.result = kvstore::encode_range_result(false_range(*range, draw));
    } else if (auto lock = kvstore::decode_lock_report(answer.result)) {
        lock->token += 1;
        lock->queue.clear();  // it is free
        answer.result = kvstore::encode_lock_report(*lock);
    } else {
        answer = {Status::no_lease, {}};
    }
    return answer;
}

void LieToClients::distort(wire::ReadReply& message) {
    message.hlc = consensus::Hlc(message.hlc.wall_ms() + an_hour_ms, message.hlc.counter());
    const crypto::Digest honest = message.digest;
    if (message.result) {
        if (const auto answer = kvstore::decode_query_answer(*message.result)) {
            message.result = kvstore::encode_query_answer(false_answer(*answer, mix(honest.bytes[0])));
            message.digest = crypto::digest_of("read", *message.result);
        }
    }
    if (message.digest == honest) {
        message.digest = crypto::digest_of("lie", honest.view());
        message.result.reset();
    }
}

// A change with another value, one that never was, or none.
void LieToClients::distort(wire::WatchEvents& message) const {
    const std::uint64_t draw = mix(message.upto.revision.value);
    if (!message.changes.empty()) {
        kvstore::Change& change = message.changes.front();
        switch (draw % 4) {
            case 0: change.now.value = changed(change.now.value); break;
            case 1: message.changes.erase(message.changes.begin()); break;
            case 2: message.changes.clear(); break;
            default: change.key.back() = static_cast<std::uint8_t>(change.key.back() ^ 1U); break;
        }
        return;
    }
    if (draw % 2 == 0 && message.after < message.upto) {
        kvstore::Change invented;
        invented.key = bytes_of("lie");
        invented.now.id = message.upto;
        invented.now.created = message.upto.revision;
        invented.now.version = 1;
        invented.now.value = bytes_of("lie");
        message.changes.push_back(std::move(invented));
    } else {
        message.upto.revision = message.upto.revision.plus(1'000);
    }
}

}  // namespace

Result<std::unique_ptr<FaultModel>> make_lie_to_clients(const FaultContext& context, const std::string& argument) {
    auto victims = ClientSet::parse(context, argument);
    if (!victims) {
        return tl::unexpected(victims.error());
    }
    return std::make_unique<LieToClients>(context, std::move(*victims));
}

}  // namespace loyal::replica::faults

// Primaries whose blocks say something false in the header, correctly signed: everybody gets the same false block, and
// votes for it. No replica that checks the header against its own state accepts it, so their view ends.
//
// bad-checkpoint: a checkpoint height and root that nobody computed (what a replica that catches up would trust).
//
// wrong-execution: a replica whose state machine computes something else. Clients get wrong outcomes and wrong values,
// the same from every replica that is wrong in this way; the headers it proposes carry a wrong digest of the executed
// state. Its votes as a backup are those of a correct replica: if it compared headers with its own wrong digests it
// would accept nothing and be as good as silent, which does less harm.
#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using consensus::Header;
using Envelopes = std::vector<consensus::Envelope>;

class FalseHeaders : public FaultModel {
 public:
    FalseHeaders(const FaultContext& context, std::string name, Twins::Change change)
        : context_(context), name_(std::move(name)), twins_(context_, std::move(change)) {}

    [[nodiscard]] std::string name() const override { return name_; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override {
        if (auto* propose = std::get_if<consensus::Propose>(&send.message);
            propose != nullptr && leads(context_, propose->block->header.view)) {
            if (const auto twin = twins_.of(propose->block, context_.signer)) {
                propose->block = twin;
            }
        } else if (auto* vote = std::get_if<consensus::Vote>(&send.message); vote != nullptr) {
            *vote = twins_.retold(*vote);
        } else if (auto* answer = std::get_if<consensus::Blocks>(&send.message)) {
            *answer = twins_.retold(std::move(*answer));
        }
        return one(std::move(send));
    }

 private:
    FaultContext context_;
    std::string name_;
    Twins twins_;
};

void false_checkpoint(Header& header, Envelopes&) {
    header.checkpoint = header.height;
    header.checkpoint_root = crypto::digest_of("false-root", header.parent.view());
}

// ---- wrong-execution

// What a wrong revision is above. No honest store gets there, so an outcome is made wrong only once.
constexpr std::uint64_t wrong_revisions = std::uint64_t{1} << 48U;

Bytes wrong_result(const Bytes& result) {
    auto range = kvstore::decode_range_result(result);
    if (!range) {
        return result;
    }
    for (kvstore::Item& item : range->items) {
        item.value = bytes_of("wrong");
        item.version += 1;
    }
    if (range->items.empty()) {
        range->count += 1;
    }
    return kvstore::encode_range_result(*range);
}

void falsify(kvstore::Outcome& outcome) {
    if (outcome.revision.value >= wrong_revisions) {
        return;
    }
    outcome.revision = kvstore::Revision(outcome.revision.value + wrong_revisions);
    if (!outcome.result.empty()) {
        outcome.result = wrong_result(outcome.result);
    } else if (outcome.status == kvstore::Status::ok) {
        outcome.status = kvstore::Status::mismatch;
    } else if (outcome.status == kvstore::Status::mismatch || outcome.status == kvstore::Status::not_found) {
        outcome.status = kvstore::Status::ok;
    }
}

void wrong_digest(Header& header, Envelopes&) {
    if (header.executed.value != 0) {  // nobody can be wrong about the empty state
        header.executed_digest = crypto::digest_of("wrong-execution", header.executed_digest.view());
    }
}

class WrongExecution final : public FalseHeaders {
 public:
    explicit WrongExecution(const FaultContext& context) : FalseHeaders(context, "wrong-execution", wrong_digest) {}

    void executed(kvstore::ExecutedBlock& block) override {
        for (kvstore::Replies& replies : block.replies) {
            for (kvstore::Outcome& outcome : replies.outcomes) {
                falsify(outcome);
            }
        }
    }
    // Remembered outcomes of retries, and reads.
    [[nodiscard]] std::vector<wire::ReplicaMessage> to_client(const consensus::ClientId&,
                                                              wire::ReplicaMessage message) override {
        if (auto* reply = std::get_if<wire::Reply>(&message)) {
            for (wire::OutcomeReply& each : reply->outcomes) {
                if (each.outcome && each.outcome->revision.value < wrong_revisions) {
                    falsify(*each.outcome);
                    each.digest = kvstore::outcome_digest(*each.outcome);
                }
            }
        } else if (auto* read = std::get_if<wire::ReadReply>(&message); read != nullptr) {
            if (read->result) {
                read->result = wrong_result(*read->result);
                read->digest = crypto::digest_of("read", *read->result);
            } else {
                read->digest = crypto::digest_of("wrong-execution", read->digest.view());
            }
        }
        return one(std::move(message));
    }
};

}  // namespace

Result<std::unique_ptr<FaultModel>> make_bad_checkpoint(const FaultContext& context, const std::string&) {
    return std::make_unique<FalseHeaders>(context, "bad-checkpoint", false_checkpoint);
}

Result<std::unique_ptr<FaultModel>> make_wrong_execution(const FaultContext& context, const std::string&) {
    return std::make_unique<WrongExecution>(context);
}

}  // namespace loyal::replica::faults

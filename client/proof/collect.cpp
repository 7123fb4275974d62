#include "client/proof/collect.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace loyal::proof {

namespace {

using consensus::ReplicaId;
using Clock = std::chrono::steady_clock;

// Until a replica that has not executed the block yet is asked again.
constexpr auto ask_again = std::chrono::milliseconds(20);
// What the slower replicas get, once one has given a valid proof: theirs may be of a newer checkpoint.
constexpr auto newer_wait = std::chrono::milliseconds(50);

// What callbacks bring, for the thread that waits. Outlives the collection: a late answer finds nobody.
template <class Answer>
class Answers {
 public:
    using Given = std::pair<ReplicaId, Result<Answer>>;
    void put(ReplicaId from, Result<Answer> answer) {
        const std::lock_guard lock(mutex_);
        given_.emplace_back(from, std::move(answer));
        changed_.notify_one();
    }
    // Nothing when none came in time.
    std::optional<Given> next_until(Clock::time_point deadline) {
        std::unique_lock lock(mutex_);
        if (!changed_.wait_until(lock, deadline, [this] { return !given_.empty(); })) {
            return std::nullopt;
        }
        Given first = std::move(given_.front());
        given_.pop_front();
        return first;
    }

 private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<Given> given_;
};

class ReceiptCollection {
 public:
    ReceiptCollection(client::Client& client, const ProofVerifier& verifier, const kvstore::Operation& operation,
                      const client::WriteResult& done)
        : client_(client),
          verifier_(verifier),
          operation_(kvstore::encode_operation(operation)),
          outcome_(done.outcome),
          ask_{0, done.session, done.outcome.seq, done.outcome.height} {}

    [[nodiscard]] Result<Proof> run(Clock::time_point deadline);

 private:
    void ask(ReplicaId replica);
    [[nodiscard]] std::size_t replicas() const { return verifier_.membership().replicas.size(); }
    // The signed receipt, when w replicas have given it.
    [[nodiscard]] std::optional<SignedReceipt> take(ReplicaId from, const wire::ReceiptAnswer& answer);

    client::Client& client_;
    const ProofVerifier& verifier_;
    Bytes operation_;
    kvstore::Outcome outcome_;
    wire::ReceiptAsk ask_;
    std::shared_ptr<Answers<wire::ReceiptAnswer>> answers_ = std::make_shared<Answers<wire::ReceiptAnswer>>();
    std::map<Bytes, SignedReceipt> receipts_;  // by the receipt's encoding
    std::map<Clock::time_point, ReplicaId> again_;
    std::size_t never_ = 0;  // replicas that will not answer
    std::string why_;        // the last of them
};

void ReceiptCollection::ask(ReplicaId replica) {
    client_.receipt(replica, ask_, [answers = answers_, replica](const Result<wire::ReceiptAnswer>& answer) {
        answers->put(replica, answer);
    });
}

std::optional<SignedReceipt> ReceiptCollection::take(ReplicaId from, const wire::ReceiptAnswer& answer) {
    const kvstore::Receipt& receipt = answer.receipt;
    const auto digest = kvstore::executed_digest_of(receipt);
    const ReplicaSignature signature{from, answer.signature};
    if (receipt.operation != operation_ || receipt.outcome != outcome_ || receipt.session != ask_.session || !digest ||
        !verifier_.signature_ok(receipt, *digest, signature)) {
        ++never_;
        why_ = "replica " + std::to_string(from.value) + " gave a receipt that proves something else, or nothing";
        return std::nullopt;
    }
    SignedReceipt& of =
        receipts_.try_emplace(kvstore::encode_receipt(receipt), SignedReceipt{receipt, {}}).first->second;
    const auto place = std::lower_bound(of.signatures.begin(), of.signatures.end(), from,
                                        [](const ReplicaSignature& each, ReplicaId id) { return each.replica < id; });
    if (place == of.signatures.end() || place->replica != from) {
        of.signatures.insert(place, signature);
    }
    return of.signatures.size() == verifier_.membership().quorum().w ? std::optional(of) : std::nullopt;
}

Result<Proof> ReceiptCollection::run(Clock::time_point deadline) {
    const std::size_t w = verifier_.membership().quorum().w;
    for (std::uint16_t id = 0; id < replicas(); ++id) {
        ask(ReplicaId(id));
    }
    while (replicas() - never_ >= w) {
        const auto now = Clock::now();
        if (now >= deadline) {
            return fail(Errc::timed_out, "the operation is done, but no " + std::to_string(w) +
                                             " replicas gave its receipt in time" + (why_.empty() ? "" : ": " + why_));
        }
        while (!again_.empty() && again_.begin()->first <= now) {
            ask(again_.begin()->second);
            again_.erase(again_.begin());
        }
        auto given = answers_->next_until(again_.empty() ? deadline : std::min(deadline, again_.begin()->first));
        if (!given) {
            continue;
        }
        const auto& [from, answer] = *given;
        if (answer) {
            if (auto complete = take(from, *answer)) {
                return Proof{verifier_.membership().context.cluster_id, std::move(*complete)};
            }
        } else if (answer.error().code == Errc::unavailable) {
            why_ = answer.error().message;
            again_.emplace(Clock::now() + ask_again + std::chrono::microseconds(from.value), from);
        } else {
            why_ = answer.error().message;
            ++never_;
        }
    }
    return fail(Errc::not_found, "the operation is done, but its receipt cannot be had from " + std::to_string(w) +
                                     " replicas: " + why_);
}

}  // namespace

Result<Proof> collect_receipt(client::Client& client, const ProofVerifier& verifier,
                              const kvstore::Operation& operation, const client::WriteResult& done,
                              std::uint64_t timeout_ms) {
    return ReceiptCollection(client, verifier, operation, done)
        .run(Clock::now() + std::chrono::milliseconds(timeout_ms));
}

Result<Proof> collect_state_proof(client::Client& client, const ProofVerifier& verifier, ByteView key,
                                  std::uint64_t timeout_ms) {
    const auto answers = std::make_shared<Answers<wire::StateProofAnswer>>();
    const std::size_t n = verifier.membership().replicas.size();
    for (std::uint16_t id = 0; id < n; ++id) {
        client.state_proof(
            ReplicaId(id), Bytes(key.begin(), key.end()),
            [answers, id](const Result<wire::StateProofAnswer>& answer) { answers->put(ReplicaId(id), answer); });
    }
    auto deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
    std::optional<Proof> newest;
    Error why{Errc::timed_out, "no replica answered in time"};
    for (std::size_t missing = n; missing > 0; --missing) {
        const auto given = answers->next_until(deadline);
        if (!given) {
            break;
        }
        if (!given->second) {
            why = given->second.error();
            continue;
        }
        Proof proof{verifier.membership().context.cluster_id, given->second->proof};
        const auto& state = std::get<kvstore::StateProof>(proof.content);
        const bool is_asked = std::equal(state.record.key.begin(), state.record.key.end(), key.begin(), key.end());
        const auto checked = verifier.check(proof);
        if (!is_asked || !checked) {
            why = {Errc::unauthentic, "replica " + std::to_string(given->first.value) + " gave a proof that fails" +
                                          (checked ? "" : ": " + checked.error().message)};
            continue;
        }
        if (!newest || std::get<kvstore::StateProof>(newest->content).root().height < state.root().height) {
            newest = std::move(proof);
        }
        deadline = std::min(deadline, Clock::now() + newer_wait);
    }
    return newest ? Result<Proof>(std::move(*newest)) : tl::unexpected(why);
}

}  // namespace loyal::proof

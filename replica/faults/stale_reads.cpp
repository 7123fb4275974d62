// Answers each read with what it returned when it was first asked, as of now: the old result under the new height and
// lock, with its right digest. What a replica that serves reads from an old snapshot does, on purpose. Reads that it
// never answered before are answered truthfully.
#include <deque>

#include "kvstore/operation.h"
#include "replica/faults/behaviours.h"

namespace loyal::replica::faults {
namespace {

constexpr std::size_t open_reads_max = 4096;
constexpr std::size_t answers_max = 512;
constexpr std::size_t answers_bytes_max = std::size_t{8} << 20U;

class StaleReads final : public FaultModel {
 public:
    [[nodiscard]] std::string name() const override { return "stale-reads"; }
    [[nodiscard]] bool from_client(const consensus::ClientId& client, const wire::Read& request) override;
    [[nodiscard]] std::vector<wire::ReplicaMessage> to_client(const consensus::ClientId& client,
                                                              wire::ReplicaMessage message) override;

 private:
    using ReadKey = std::pair<consensus::ClientId, std::uint64_t>;
    void remember(const Bytes& question, const Bytes& result);

    std::map<ReadKey, Bytes> open_;  // encoded question by nonce
    std::deque<ReadKey> open_order_;
    std::map<Bytes, Bytes> answers_;  // first result by question
    std::deque<Bytes> answers_order_;
    std::size_t answers_bytes_ = 0;
};

bool StaleReads::from_client(const consensus::ClientId& client, const wire::Read& request) {
    const ReadKey key{client, request.nonce};
    if (open_.insert_or_assign(key, kvstore::encode_query(request.query)).second) {
        open_order_.push_back(key);
    }
    if (open_order_.size() > open_reads_max) {
        open_.erase(open_order_.front());
        open_order_.pop_front();
    }
    return true;
}

// The oldest questions are forgotten when there are too many, and answered anew: stale from then on again.
void StaleReads::remember(const Bytes& question, const Bytes& result) {
    if (!answers_.emplace(question, result).second) {
        return;
    }
    answers_order_.push_back(question);
    answers_bytes_ += question.size() + result.size();
    while (answers_.size() > answers_max || answers_bytes_ > answers_bytes_max) {
        const auto oldest = answers_.find(answers_order_.front());
        answers_bytes_ -= oldest->first.size() + oldest->second.size();
        answers_.erase(oldest);
        answers_order_.pop_front();
    }
}

std::vector<wire::ReplicaMessage> StaleReads::to_client(const consensus::ClientId& client,
                                                        wire::ReplicaMessage message) {
    auto* reply = std::get_if<wire::ReadReply>(&message);
    const auto question = reply == nullptr ? open_.end() : open_.find({client, reply->nonce});
    if (question != open_.end()) {
        if (const auto old = answers_.find(question->second); old != answers_.end()) {
            reply->digest = crypto::digest_of("read", old->second);
            if (reply->result) {
                reply->result = old->second;
            }
        } else if (reply->result) {
            remember(question->second, *reply->result);
        }
    }
    return one(std::move(message));
}

}  // namespace

Result<std::unique_ptr<FaultModel>> make_stale_reads(const FaultContext&, const std::string&) {
    return std::make_unique<StaleReads>();
}

}  // namespace loyal::replica::faults

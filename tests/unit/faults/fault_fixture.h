// A replica among four, with real keys, whose fault model is under test.
#pragma once

#include <gtest/gtest.h>

#include "consensus/quorum.h"
#include "crypto/identity.h"
#include "replica/faults/fault_model.h"

namespace loyal::replica {

class FaultTest : public ::testing::Test {
 protected:
    static constexpr std::size_t n = 4;

    FaultTest() {
        crypto::initialize();
        for (std::uint8_t i = 0; i < n; ++i) {
            std::array<std::uint8_t, 32> seed{};
            seed[0] = i;
            keys_.push_back(crypto::Identity::from_seed(seed));
            membership_.replicas.push_back(keys_.back().public_key());
        }
        membership_.context.cluster_id = crypto::digest_of("test", view_of("faults"));
        std::array<std::uint8_t, 32> seed{};
        seed[28] = 251;  // the one whose client id begins with 0700: tests name it by that
        seed[29] = 162;
        seed[31] = 9;
        client_key_ = std::make_unique<crypto::Identity>(crypto::Identity::from_seed(seed));
        client_ = consensus::client_id_of(client_key_->public_key());
        membership_.clients.emplace(client_, client_key_->public_key());
        verifier_ = std::make_unique<consensus::MessageVerifier>(membership_, signatures_);
    }

    [[nodiscard]] FaultContext context(std::uint64_t seed = 1) const {
        return {membership_, self_, keys_[self_.value], seed, accomplices_, 400, 50, {{"alice", client_}}};
    }
    [[nodiscard]] Result<std::unique_ptr<FaultModel>> try_make(std::string_view line, std::uint64_t seed = 1) const {
        return parse_fault(line).and_then([&](const FaultSpec& spec) { return make_fault(spec, context(seed)); });
    }
    [[nodiscard]] std::unique_ptr<FaultModel> make(std::string_view line, std::uint64_t seed = 1) const {
        auto made = try_make(line, seed);
        EXPECT_TRUE(made.has_value()) << made.error().message;
        return std::move(*made);
    }
    // The key of a fellow traitor.
    void share_key_of(std::uint16_t id) {
        std::array<std::uint8_t, 32> seed{};
        seed[0] = static_cast<std::uint8_t>(id);
        accomplices_[replica(id)] = std::make_shared<crypto::Identity>(crypto::Identity::from_seed(seed));
    }
    // A block of its view's leader with one envelope for each name.
    [[nodiscard]] consensus::BlockPtr block(std::uint64_t height, const crypto::Digest& parent,
                                            const std::vector<std::string>& keys, std::uint64_t view = 0) const {
        const auto leader = static_cast<std::uint16_t>(view % n);
        std::vector<consensus::Envelope> envelopes;
        for (const std::string& key : keys) {
            envelopes.push_back(envelope(key, height * 10 + envelopes.size()));
        }
        auto body = std::make_shared<const Bytes>(consensus::make_body(envelopes));
        consensus::Header header;
        header.view = consensus::View(view);
        header.height = consensus::Height(height);
        header.parent = parent;
        header.body_root = consensus::body_root_of(*body);
        header.body_bytes = static_cast<std::uint32_t>(body->size());
        header.envelopes = static_cast<std::uint32_t>(envelopes.size());
        header.hlc = consensus::Hlc(1'000 + height, 0);
        header.executed = header.height.minus(membership_.window);
        if (header.executed.value != 0) {
            header.executed_digest = crypto::digest_of("state", view_of(std::to_string(header.executed.value)));
        }
        const auto id = consensus::header_id(membership_.context, header);
        return *consensus::make_block(membership_.context, header,
                                      sign_as(leader, consensus::SignDomain::propose, id.view()), body);
    }
    // One put of `key`.
    [[nodiscard]] consensus::Envelope envelope(const std::string& key, std::uint64_t seq) const {
        consensus::EnvelopeContent content;
        content.key = client_key_->public_key();
        content.session = consensus::SessionId(5);
        content.seq0 = consensus::Seq(seq);
        content.count = 1;
        content.not_after = consensus::Hlc(100'000, 0);
        content.operations = kvstore::encode_operations({kvstore::Put{bytes_of(key), bytes_of("v")}});
        auto bytes = std::make_shared<const Bytes>(consensus::make_envelope(
            content, membership_.context.cluster_id, membership_.context.epoch, client_key_.get()));
        return *consensus::parse_envelope(bytes);
    }
    [[nodiscard]] crypto::Verified<consensus::Envelope> admitted(const std::string& key, std::uint64_t seq) const {
        auto verified = verifier_->verify_envelope(envelope(key, seq), client_);
        EXPECT_TRUE(verified.has_value());
        return std::move(*verified);
    }
    [[nodiscard]] consensus::Vote vote(std::uint64_t view, const consensus::BlockRef& prep,
                                       const consensus::BlockRef& com, std::uint16_t voter) const {
        consensus::Vote vote;
        vote.view = consensus::View(view);
        vote.prep = prep;
        vote.com = com;
        vote.voter = replica(voter);
        vote.signature = sign_as(voter, consensus::SignDomain::vote, consensus::vote_content(vote));
        return vote;
    }
    [[nodiscard]] consensus::ViewChange view_change(std::uint64_t view, const consensus::Lock& lock,
                                                    std::uint16_t voter) const {
        consensus::ViewChange message;
        message.new_view = consensus::View(view);
        message.lock = lock;
        message.last_prep = {consensus::View(0), lock.block};
        message.voter = replica(voter);
        message.signature = sign_as(voter, consensus::SignDomain::view_change, consensus::view_change_content(message));
        return message;
    }
    [[nodiscard]] bool is_accepted(const consensus::PeerMessage& message) const {
        return verifier_->verify(message, self_).has_value();
    }
    [[nodiscard]] consensus::BlockRef genesis() const { return consensus::genesis_block(membership_.context); }
    [[nodiscard]] crypto::Signature sign_as(std::uint16_t id, consensus::SignDomain domain, ByteView content) const {
        return keys_[id].sign(consensus::signed_bytes(membership_.context, domain, content));
    }
    // All that a replica does of its own accord in so many ticks of 10 ms.
    [[nodiscard]] static std::vector<PeerSend> deeds(FaultModel& fault, std::uint64_t ticks) {
        std::vector<PeerSend> all;
        for (std::uint64_t i = 1; i <= ticks; ++i) {
            Misdeeds now = fault.tick(i * 10);
            all.insert(all.end(), now.sends.begin(), now.sends.end());
        }
        return all;
    }
    [[nodiscard]] crypto::Signature sign(consensus::SignDomain domain, ByteView content) const {
        return keys_[self_.value].sign(consensus::signed_bytes(membership_.context, domain, content));
    }
    [[nodiscard]] static consensus::ReplicaId replica(std::uint16_t id) { return consensus::ReplicaId(id); }

    consensus::Membership membership_;
    consensus::ReplicaId self_{0};
    std::vector<crypto::Identity> keys_;
    std::unique_ptr<crypto::Identity> client_key_;
    consensus::ClientId client_;
    std::map<consensus::ReplicaId, std::shared_ptr<const crypto::Signer>> accomplices_;
    crypto::Ed25519Verifier signatures_;
    std::unique_ptr<consensus::MessageVerifier> verifier_;
};

}  // namespace loyal::replica

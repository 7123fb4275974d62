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
        seed[31] = 9;
        client_key_ = std::make_unique<crypto::Identity>(crypto::Identity::from_seed(seed));
        client_.bytes[0] = 7;
        membership_.clients.emplace(client_, client_key_->public_key());
    }

    [[nodiscard]] std::unique_ptr<FaultModel> make(std::string_view name, std::uint64_t seed = 1) const {
        auto made = parse_fault(name).and_then([&](const FaultSpec& spec) {
            return make_fault(spec, {membership_, self_, keys_[self_.value], seed, {}});
        });
        EXPECT_TRUE(made.has_value());
        return std::move(*made);
    }
    // A block of replica 0 in view 0 with one envelope for each name.
    [[nodiscard]] consensus::BlockPtr block(std::uint64_t height, const crypto::Digest& parent,
                                            const std::vector<std::string>& keys, std::uint64_t view = 0) const {
        std::vector<consensus::Envelope> envelopes;
        for (const std::string& key : keys) {
            consensus::EnvelopeContent content;
            content.client = client_;
            content.session = consensus::SessionId(5);
            content.seq0 = consensus::Seq(height * 10 + envelopes.size());
            content.count = 1;
            content.not_after = consensus::Hlc(100'000, 0);
            content.operations = kvstore::encode_operations({kvstore::Put{bytes_of(key), bytes_of("v")}});
            auto bytes = std::make_shared<const Bytes>(consensus::make_envelope(
                content, membership_.context.cluster_id, membership_.context.epoch, client_key_.get()));
            envelopes.push_back(*consensus::parse_envelope(bytes));
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
        const auto id = consensus::header_id(membership_.context, header);
        return *consensus::make_block(membership_.context, header, sign(consensus::SignDomain::propose, id.view()),
                                      body);
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
};

}  // namespace loyal::replica

#include "client/cli/evidence_file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/cli/bytes_argument.h"
#include "config/files.h"
#include "config/limits.h"
#include "consensus/evidence_parts.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;
using consensus::Evidence;
using consensus::EvidenceKind;

namespace {

constexpr const char* format_name = "loyalkv-evidence-1";
constexpr std::size_t file_bytes_max = 2 * limits::evidence_bytes_max + 4096;  // hexadecimal, and what is around it
constexpr std::uint8_t kinds = 7;

tl::unexpected<Failure> altered(std::string message) {
    return refuse(Exit::integrity, "unproven", std::move(message));
}

std::optional<EvidenceKind> kind_of(const std::string& name) {
    for (std::uint8_t i = 1; i <= kinds; ++i) {
        if (name == consensus::name_of(static_cast<EvidenceKind>(i))) {
            return static_cast<EvidenceKind>(i);
        }
    }
    return std::nullopt;
}

// ---- Shown

std::string text_of_block(const consensus::BlockRef& block) {
    return fmt::format("height {}, {}", block.height.value, block.id.hex());
}

ShownStatement show(const consensus::MessageVerifier& verifier, const consensus::Header& header, std::string title) {
    return {std::move(title),
            {{"view", std::to_string(header.view.value)},
             {"height", std::to_string(header.height.value)},
             {"block", consensus::header_id(verifier.membership().context, header).hex()},
             {"parent", header.parent.hex()},
             {"body_root", header.body_root.hex()},
             {"body_bytes", std::to_string(header.body_bytes)},
             {"envelopes", std::to_string(header.envelopes)},
             {"hlc", fmt::format("{}.{}", header.hlc.wall_ms(), header.hlc.counter())},
             {"executed_digest", fmt::format("height {}, {}", header.executed.value, header.executed_digest.hex())},
             {"flags", std::to_string(header.flags)}}};
}

ShownStatement show(const consensus::Vote& vote) {
    return {"vote",
            {{"view", std::to_string(vote.view.value)},
             {"voter", std::to_string(vote.voter.value)},
             {"prepare_head", text_of_block(vote.prep)},
             {"commit_head", vote.has_commit() ? text_of_block(vote.com) : "none"}}};
}

ShownStatement show(const consensus::ViewChange& change) {
    const std::string lock = change.lock.view.is_genesis()
                                 ? std::string("none (genesis)")
                                 : fmt::format("view {}, {}", change.lock.view.value, text_of_block(change.lock.block));
    return {"view change",
            {{"new_view", std::to_string(change.new_view.value)},
             {"voter", std::to_string(change.voter.value)},
             {"lock", lock},
             {"last_prepared",
              fmt::format("view {}, {}", change.last_prep.view.value, text_of_block(change.last_prep.block))}}};
}

ShownStatement show(const consensus::NewView& message) {
    ShownStatement shown{
        "new view",
        {{"view", std::to_string(message.view.value)},
         {"leader", std::to_string(message.leader.value)},
         {"base", fmt::format("view {}, {}", message.base.view.value, text_of_block(message.base.block))}}};
    for (std::size_t i = 0; i < message.view_changes.size(); ++i) {
        const consensus::ViewChange& change = message.view_changes[i];
        shown.fields.emplace_back(
            fmt::format("view_change_{}", i),
            fmt::format("of replica {} for view {}: lock of view {}, {}", change.voter.value, change.new_view.value,
                        change.lock.view.value, text_of_block(change.lock.block)));
    }
    return shown;
}

std::string fault_of_body(const consensus::MessageVerifier& verifier, const consensus::SignedHeader& statement,
                          const Bytes& body) {
    const auto block = consensus::make_block(verifier.membership().context, statement.header, statement.signature,
                                             std::make_shared<const Bytes>(body));
    if (!block) {
        return block.error().message;
    }
    for (std::size_t i = 0; i < (*block)->envelopes.size(); ++i) {
        if (const auto authentic = verifier.check_authentic((*block)->envelopes[i]); !authentic) {
            return fmt::format("envelope {}: {}", i, authentic.error().message);
        }
    }
    return "none";
}

}  // namespace

Json evidence_document(const Evidence& evidence, const crypto::Digest& cluster_id) {
    return Json{{"format", format_name},
                {"cluster_id", cluster_id.hex()},
                {"id", consensus::evidence_id(evidence).hex()},
                {"kind", consensus::name_of(evidence.kind)},
                {"culprit", evidence.culprit.value},
                {"first", to_hex(evidence.first)},
                {"second", to_hex(evidence.second)},
                {"path", to_hex(evidence.path)}};
}

Answer<Evidence> evidence_of_json(const Json& document) {
    const auto is_text = [&](const char* name) {
        return document.is_object() && document.contains(name) && document[name].is_string();
    };
    if (!is_text("kind") || !is_text("first") || !is_text("second") || !is_text("path") ||
        !document.contains("culprit") || !document["culprit"].is_number_unsigned()) {
        return refuse_input("no evidence: it lacks kind, culprit, first, second or path");
    }
    const auto kind = kind_of(document["kind"].get<std::string>());
    const auto culprit = document["culprit"].get<std::uint64_t>();
    if (!kind || culprit >= limits::replicas_max) {
        return altered("not a kind of evidence, or not a replica");
    }
    Evidence evidence{*kind, consensus::ReplicaId(static_cast<std::uint16_t>(culprit)), {}, {}, {}};
    for (const auto& [name, part] : {std::pair("first", &evidence.first), std::pair("second", &evidence.second),
                                     std::pair("path", &evidence.path)}) {
        Answer<Bytes> bytes = decode_text(document[name].get<std::string>(), TextForm::hex, name);
        if (!bytes) {
            return altered(bytes.error().message);
        }
        *part = std::move(*bytes);
    }
    if (const auto sound = consensus::decode_evidence(consensus::encode_evidence(evidence)); !sound) {
        return altered(sound.error().message);
    }
    return evidence;
}

Answer<Evidence> read_evidence_file(const std::filesystem::path& path, const crypto::Digest& cluster_id) {
    Bytes buffer(file_bytes_max);
    const Result<std::size_t> size = read_file(path, buffer, Secrecy::open_to_all);
    if (!size) {
        return tl::unexpected<Failure>(input_failure_of(size.error()));
    }
    const Json document = Json::parse(text_of(ByteView(buffer).first(*size)), nullptr, false);
    if (document.is_discarded() || !document.is_object() || !document.contains("format")) {
        return refuse_input(fmt::format("{}: not an evidence file; `loyal evidence save` writes one", path.string()));
    }
    Answer<Evidence> evidence = evidence_of_json(document);
    if (!evidence) {
        evidence.error().message = fmt::format("{}: {}", path.string(), evidence.error().message);
        return evidence;
    }
    if (document.contains("cluster_id") && document["cluster_id"] != cluster_id.hex()) {
        return altered(fmt::format("{}: it is about another cluster than the one of --cluster", path.string()));
    }
    // In any order of fields, but these and no others.
    if (nlohmann::json(document) != nlohmann::json(evidence_document(*evidence, cluster_id))) {
        return altered(fmt::format("{}: not what `loyal evidence save` wrote; its id, or something else, was changed",
                                   path.string()));
    }
    return evidence;
}

Answer<void> write_evidence_file(const std::filesystem::path& path, const Evidence& evidence,
                                 const crypto::Digest& cluster_id) {
    const std::string text = evidence_document(evidence, cluster_id).dump(2) + "\n";
    const Result<void> written = write_new_file(path, view_of(text), 0644);
    if (!written) {
        return tl::unexpected<Failure>(input_failure_of(written.error()));
    }
    return {};
}

std::vector<ShownStatement> statements_of(const consensus::MessageVerifier& verifier, const Evidence& evidence) {
    std::vector<ShownStatement> shown;
    const auto header = [&](const Bytes& bytes) {
        if (const auto statement = consensus::read_signed_header(bytes)) {
            shown.push_back(show(verifier, statement->header, "signed block header"));
        }
    };
    switch (evidence.kind) {
        case EvidenceKind::two_proposals:
            header(evidence.first);
            header(evidence.second);
            break;
        case EvidenceKind::bad_proposal:
            header(evidence.first);
            if (const auto statement = consensus::read_signed_header(evidence.first)) {
                shown.push_back({"body",
                                 {{"body_root", consensus::body_root_of(evidence.second).hex()},
                                  {"body_bytes", std::to_string(evidence.second.size())},
                                  {"fault", fault_of_body(verifier, *statement, evidence.second)}}});
            }
            break;
        default:
            for (const Bytes* bytes : {&evidence.first, &evidence.second}) {
                if (const auto vote = consensus::decode_vote(*bytes)) {
                    shown.push_back(show(*vote));
                } else if (const auto change = consensus::decode_view_change(*bytes)) {
                    shown.push_back(show(*change));
                } else if (const auto message = consensus::decode_new_view(*bytes)) {
                    shown.push_back(show(*message));
                }
            }
    }
    if (const auto path = consensus::read_path(evidence.path)) {
        for (const consensus::Header& each : *path) {
            shown.push_back(show(verifier, each, "header between the two"));
        }
    }
    return shown;
}

}  // namespace loyal::cli

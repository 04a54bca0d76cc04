#include "server/learning_status.h"

namespace forerun {

Json learning_json(const LearningStatus& status) {
  return {{"enabled", status.enabled},
          {"starved", starved_name(status.starved)},
          {"trainer_up", status.trainer_up},
          {"trainer_starts", status.trainer_starts},
          {"trainer_step", status.trainer_step},
          {"trainer_step_seconds", status.trainer_step_seconds},
          {"trainer_loss", status.trainer_loss},
          {"trainer_acceptance_length", status.trainer_acceptance_length},
          {"trained_tokens", status.trained_tokens},
          {"records",
           {{"kept", status.records.kept},
            {"dropped", status.records.dropped},
            {"opted_out", status.records.opted_out},
            {"left_out", status.records.left_out},
            {"held_out", status.records.held_out}}},
          {"capture_rate", status.capture_rate},
          {"capture_share", status.capture_share},
          {"head_version", status.head_version},
          {"vocabulary", status.vocabulary},
          {"acceptance_length", status.acceptance_length},
          {"estimated_speedup", status.estimated_speedup},
          {"share",
           {{"threads", status.share.threads},
            {"learned", status.share.learned},
            {"lost", status.share.lost}}},
          {"verdicts",
           {{"passed", status.verdicts.passed},
            {"failed", status.verdicts.failed},
            {"refused", status.verdicts.refused}}},
          {"swaps",
           {{"made", status.swaps.made},
            {"kept", status.swaps.kept},
            {"rolled_back", status.swaps.rolled_back},
            {"recalled", status.swaps.recalled}}},
          {"swap_seconds", status.swap_seconds},
          {"alarms", status.alarms}};
}

}  // namespace forerun
